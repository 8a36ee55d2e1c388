import type pg from 'pg'
import { classifyError } from '../core/fault.ts'
import { quoteIdentifier } from '../core/sql/identifier.ts'
import type { Queryable } from '../postgres/statement.ts'

/** The control schema and the connection to it. `s` is the schema's name, quoted, for use in statements. */
export interface Control {
  readonly db: Queryable
  readonly s: string
  readonly schema: string
  /** Runs work in one transaction; nested calls join the one they are in. */
  transaction<T>(work: (control: Control) => Promise<T>): Promise<T>
}

/**
 * Has the commit of a transaction wait for synchronous standbys. All others wait for the disk alone: while a standby is away,
 * none of them keeps a lock that a pause needs.
 */
export async function waitForStandbys({ db }: Control): Promise<void> {
  await db.query('SET LOCAL synchronous_commit = on')
}

/** How long each statement of a transaction may wait for a lock. */
export async function limitLockWait({ db }: Control, seconds: number): Promise<void> {
  await db.query("SELECT pg_catalog.set_config('lock_timeout', $1, true)", [`${Math.round(seconds * 1000)}ms`])
}

/** The control schema over a pool; `connect` gives the session of a transaction. */
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
        // A connection that cannot even roll back must not go back to the pool: its next user would be in our transaction.
        await client.query('ROLLBACK').catch((failed: Error) => {
          broken = failed
        })
        // Nor may one to a server that does not write: the address may lead to another by now.
        if (classifyError(error) === 'read-only') broken ??= error as Error
        throw error
      } finally {
        client.release(broken)
      }
    },
  }
}
