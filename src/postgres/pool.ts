import type pg from 'pg'
import { splitStartupOptions } from './connection-string.ts'
import { Destination, DestinationPool } from './destination.ts'
import { beginSessions } from './session.ts'
import { rememberBeginning } from './takeout.ts'

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
