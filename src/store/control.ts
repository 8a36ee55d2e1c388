import type pg from 'pg'
import { classifyError } from '../core/fault.ts'
import { quoteIdentifier } from '../core/sql/identifier.ts'
import type { Queryable } from '../postgres/statement.ts'

/** The control schema and a connection to it. `s` is the schema's name, quoted for use in statements. */
export interface Control {
  readonly db: Queryable
  readonly s: string
  readonly schema: string
  /** Runs work in one transaction. Nested calls join the enclosing one. */
  transaction<T>(work: (control: Control) => Promise<T>): Promise<T>
}

/**
 * Makes the transaction's commit wait for synchronous standbys. All other commits wait for the primary's disk alone, so
 * an absent standby never keeps a lock that a pause needs.
 */
export async function waitForStandbys({ db }: Control): Promise<void> {
  await db.query('SET LOCAL synchronous_commit = on')
}

/** Limits how long each statement of the transaction waits for a lock. */
export async function limitLockWait({ db }: Control, seconds: number): Promise<void> {
  await db.query("SELECT pg_catalog.set_config('lock_timeout', $1, true)", [`${Math.round(seconds * 1000)}ms`])
}

/** The control schema over a pool. `connect` provides the session of a transaction. */
export function createControl(pool: pg.Pool, schema: string, connect = () => pool.connect()): Control {
  const s = quoteIdentifier(schema)
  return {
    db: pool,
    s,
    schema,
    async transaction(work) {
      const client = await connect()
      const joined: Control = { db: client, s, schema, transaction: (inner) => inner(joined) }
      let broken: Error | undefined
      try {
        await client.query('BEGIN')
        const result = await work(joined)
        await client.query('COMMIT')
        return result
      } catch (error) {
        // A connection that cannot roll back must not return to the pool: its next user would be in our transaction.
        await client.query('ROLLBACK').catch((failed: Error) => {
          broken = failed
        })
        // Nor may a connection to a read-only server: the address may lead to another server by now.
        if (classifyError(error) === 'read-only') broken ??= error as Error
        throw error
      } finally {
        client.release(broken)
      }
    },
  }
}
