import { DatabaseError, type Pool, type PoolClient } from 'pg'
import { classifyError } from '../core/fault.ts'
import { type Connection, requireRow, type Statement } from './statement.ts'

/** Runs a statement within a limit and gives its rows. */
export type Ask = <Row>(
  statement: Statement<Row, Connection>,
  values?: readonly unknown[],
  /** Where it may take longer than others. */
  limitMs?: number,
) => Promise<Row[]>

/** A connection that has gone without a word answers nothing, not even a timeout of the server's. */
const usualLimitMs = 2000

/** Asks over a pool, each time on whatever connection is free. */
export function askOver(pool: Pool): Ask {
  return (statement, values, limitMs) => onConnection(pool, (ask) => ask(statement, values, limitMs))
}

/** The first row of what is asked. Throws an Error that names the statement where there is none. */
export async function askOne<Row>(ask: Ask, statement: Statement<Row, Connection>): Promise<Row> {
  return requireRow(statement, await ask(statement))
}

/**
 * Work on one connection of a pool, each statement within a limit and prepared once under its name. One that the server
 * refuses leaves the connection as it was; after anything else, and where the server does not write, the pool replaces it.
 * (`pool.query` would reconnect after either, twice a second.)
 */
export async function onConnection<T>(pool: Pool, work: (ask: Ask, pid: number) => Promise<T>): Promise<T> {
  // The types leave out what the driver knows of its backend.
  const client = (await pool.connect()) as PoolClient & { readonly processID: number }
  const ask: Ask = async (statement, values = [], limitMs = usualLimitMs) => {
    const { name, text, read } = statement
    // Of the control schema it names nothing.
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
