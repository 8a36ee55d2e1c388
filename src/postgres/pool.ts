import type pg from 'pg'
import { splitStartupOptions } from './connection-string.ts'
import { Destination, DestinationPool } from './destination.ts'
import { beginSessions } from './session.ts'
import { rememberBeginning } from './takeout.ts'

/** Session settings that give a value the same text everywhere and keep a session from waiting for ever. */
export const sessionSettings: Readonly<Record<string, string>> = {
  TimeZone: 'UTC',
  DateStyle: 'ISO, YMD',
  IntervalStyle: 'postgres',
  extra_float_digits: '1',
  bytea_output: 'hex',
  client_encoding: 'UTF8',
  // Our statements qualify every schema except pg_catalog. In other schemas users may create functions and operators.
  search_path: 'pg_catalog, pg_temp',
  // Every fence relies on this: a statement that has waited for a row reads the row as it is after the wait.
  default_transaction_isolation: 'read committed',
  // The server finds a dead client by these alone. Until then it keeps the client's row locks, and no timeout counts
  // while it waits for the end of a message. The usual default is two hours.
  tcp_keepalives_idle: '10',
  tcp_keepalives_interval: '5',
  tcp_keepalives_count: '3',
}

/**
 * Creates a pool whose settings are in force in each session before it is given out, whatever the connection string,
 * the role or the database say. `onError` is called with errors of connections, also of those in use. Without a
 * listener they would end the process. Connecting fails with a PoolerError if a pooler would not keep the settings, or
 * would pass them on to other clients.
 */
export function createPool(
  connectionString: string,
  options: {
    readonly name: string
    readonly max: number
    readonly settings: Readonly<Record<string, string>>
    readonly queryTimeoutMs?: number
    /** Times that a session is given out before another replaces it. */
    readonly maxUses?: number
    /** Shared by all pools of a database, so that their sessions are on one server. */
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
    // On a dead connection nothing arrives, not even a timeout of the server.
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
