import type pg from 'pg'
import { splitStartupOptions } from '../core/connection.ts'
import { faultOf } from '../core/fault.ts'
import { quoteIdentifier } from '../core/identifier.ts'
import { Destination, DestinationPool } from './destination.ts'
import { beginSessions } from './session.ts'
import { rememberBeginning } from './takeout.ts'

/** Whatever can run a statement: the pool, or one of its clients inside a transaction. */
export interface Queryable {
  query<R extends pg.QueryResultRow>(text: string, values?: readonly unknown[]): Promise<pg.QueryResult<R>>
}

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

/** Session settings without which a text is not the same text everywhere, or a session may wait for ever. */
export const sessionSettings: Readonly<Record<string, string>> = {
  TimeZone: 'UTC',
  DateStyle: 'ISO, YMD',
  IntervalStyle: 'postgres',
  extra_float_digits: '1',
  bytea_output: 'hex',
  client_encoding: 'UTF8',
  // Statements of ours name every schema but Postgres' own: on any other one others may put functions and operators.
  search_path: 'pg_catalog, pg_temp',
  // A statement that has waited for a row looks at it as it is then: every fence relies on that.
  default_transaction_isolation: 'read committed',
  // Of a client that is gone without a word the server hears by these alone, and until then it keeps the client's row locks: no
  // timeout counts while it waits for the end of a message. Usual are two hours.
  tcp_keepalives_idle: '10',
  tcp_keepalives_interval: '5',
  tcp_keepalives_count: '3',
}

/**
 * A pool of connections; the settings are in force in each session before it is given out, whatever its connection string,
 * its role or its database say. `onError` hears of connections that break: without a listener, also on those in use, they would
 * end the process.
 * Connecting fails with a PoolerError where a pooler on the way would not keep the settings, or would pass them on to others.
 */
export function createPool(
  connectionString: string,
  options: {
    readonly name: string
    readonly max: number
    readonly settings: Readonly<Record<string, string>>
    readonly queryTimeoutMs?: number
    /** A session is given out so often, then another takes its place. */
    readonly maxUses?: number
    /** Shared by all pools of one database: their sessions are of one server. */
    readonly destination?: Destination
  },
  onError: (error: Error) => void = () => undefined,
): DestinationPool {
  const { destination = new Destination() } = options
  const { url, startupOptions } = splitStartupOptions(connectionString)
  const settings = { ...sessionSettings, ...options.settings, application_name: options.name }
  const begin = beginSessions(connectionString, settings, destination)
  const config: pg.PoolConfig = {
    connectionString: url,
    max: options.max,
    application_name: options.name,
    connectionTimeoutMillis: 10_000,
    keepAlive: true,
    keepAliveInitialDelayMillis: 10_000,
    // A connection that has gone without a word answers nothing, not even a timeout of the server's.
    ...(options.queryTimeoutMs === undefined ? {} : { query_timeout: options.queryTimeoutMs }),
    ...(options.maxUses === undefined ? {} : { maxUses: options.maxUses }),
    options: startupOptions,
    onConnect: async (client) => {
      await begin(client)
      await rememberBeginning(client, settings)
    },
  }
  const pool = new DestinationPool(config, destination)
  pool.on('error', onError)
  pool.on('connect', (client) => client.on('error', onError))
  return pool
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
        if (faultOf(error) === 'read-only') broken ??= error as Error
        throw error
      } finally {
        client.release(broken)
      }
    },
  }
}
