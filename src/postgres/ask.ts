import { DatabaseError, type Pool, type PoolClient, type QueryResultRow } from 'pg'
import { classifyError } from '../core/fault.ts'

/** A statement of this room, prepared once per session under its name. */
export interface Statement {
  readonly name: string
  readonly text: string
  readonly values?: readonly unknown[]
  /** Where it may take longer than others. */
  readonly limitMs?: number
}

/** Runs a statement and gives its rows. */
export type Ask = <R extends QueryResultRow>(statement: Statement) => Promise<R[]>

/** A connection that has gone without a word answers nothing, not even a timeout of the server's. */
const usualLimitMs = 2000

/** Asks over a pool, each time on whatever connection is free. */
export function askOver(pool: Pool): Ask {
  return (statement) => onConnection(pool, (ask) => ask(statement))
}

/**
 * Work on one connection of a pool, each statement within a limit. One that the server refuses leaves the connection as it
 * was; after anything else, and where the server does not write, the pool replaces it. (`pool.query` would reconnect after
 * either, twice a second.)
 */
export async function onConnection<T>(pool: Pool, work: (ask: Ask, pid: number) => Promise<T>): Promise<T> {
  // The types leave out what the driver knows of its backend.
  const client = (await pool.connect()) as PoolClient & { readonly processID: number }
  const ask: Ask = async <R extends QueryResultRow>({ name, text, values = [], limitMs = usualLimitMs }: Statement) => {
    const statement = { name: `evenkeel ${name}`, text, values: [...values], query_timeout: limitMs }
    return (await client.query<R>(statement)).rows
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
