import { DatabaseError, type Pool, type PoolClient } from 'pg'
import { classifyError } from '../core/fault.ts'
import { type Connection, requireRow, type Statement } from './statement.ts'

/** Runs a statement within a time limit and returns its rows. */
export type Ask = <Row>(
  statement: Statement<Row, Connection>,
  values?: readonly unknown[],
  /** For a statement that may take longer than others. Milliseconds. */
  limitMs?: number,
) => Promise<Row[]>

/** On a dead connection nothing arrives, not even a timeout of the server. Milliseconds. */
const usualLimitMs = 2000

/** Runs each statement on any free connection of a pool. */
export function askOver(pool: Pool): Ask {
  return (statement, values, limitMs) => onConnection(pool, (ask) => ask(statement, values, limitMs))
}

/** Returns the first row. Throws an Error with the statement's name if there is none. */
export async function askOne<Row>(ask: Ask, statement: Statement<Row, Connection>): Promise<Row> {
  return requireRow(statement, await ask(statement))
}

/**
 * Works on one connection of a pool. Each statement has a time limit and is prepared once under its name. After an
 * error of the server the connection stays. After any other error, or if the server is read-only, the pool replaces it.
 * (`pool.query` would reconnect after either, twice a second.)
 */
export async function onConnection<T>(pool: Pool, work: (ask: Ask, pid: number) => Promise<T>): Promise<T> {
  // The driver knows the pid of its backend; its types do not.
  const client = (await pool.connect()) as PoolClient & { readonly processID: number }
  const ask: Ask = async (statement, values = [], limitMs = usualLimitMs) => {
    const { name, text, read } = statement
    // These statements do not use the control schema.
    const query = { name: `evenkeel ${name}`, text: text(''), values: [...values], query_timeout: limitMs }
    return read(await client.query(query))
  }
  let broken: Error | undefined
  try {
    return await work(ask, client.processID)
  } catch (error) {
    if (!(error instanceof DatabaseError) || classifyError(error) === 'read-only') broken = error as Error
    throw error
  } finally {
    client.release(broken)
  }
}
