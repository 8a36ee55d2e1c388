import { randomUUID } from 'node:crypto'
import pg from 'pg'
import { z } from 'zod'
import { messageOf } from '../core/errors.ts'
import { splitStartupOptions } from './connection-string.ts'
import { statement } from './statement.ts'

/** evenkeel cannot work through this pooler until an operator changes something. */
export class PoolerError extends Error {
  override readonly name = 'PoolerError'
}

const answerWithinMs = 5000
const rounds = 5

const instead =
  'Give evenkeel the address of Postgres itself, or of a pool in session mode; the application can keep its address'
const optionsLost =
  'The address leads to a pooler, which does not pass on the `options` in a URL. Remove them, and give the role its settings by ALTER ROLE … SET'
const shared = `The address leads to a pooler in transaction mode: sessions take turns on its connections, so our timeouts and planner settings would apply to other clients. ${instead}`
const noTransactions = `The address leads to a pooler in statement mode, which has no transactions. ${instead}`
const tooSmall = `The address leads to a pooler that gave no session within ${answerWithinMs / 1000} s. Make its pool (default_pool_size) large enough for evenkeel: 22 sessions for each process and database`
const leftBehind = `The address leads to a pooler that passes the settings of a session on to the next client. Make it clear them (server_reset_query = DISCARD ALL), or give evenkeel the address of Postgres itself`

/**
 * Checks a pooler. Each of our sessions must keep one backend until it ends, and leave nothing behind. Throws a
 * PoolerError that names the fault, or the driver's error if the check fails.
 *
 * Sets nothing before that is known. A setting that stays on a connection (`lock_timeout`, a disabled scan) would be in
 * force for the application, which gets the connection next.
 */
export async function checkPooler(connectionString: string): Promise<void> {
  if (splitStartupOptions(connectionString).startupOptions !== '') throw new PoolerError(optionsLost)
  try {
    await checkOwnBackend(connectionString)
    await checkReset(connectionString)
  } catch (error) {
    throw /^Query read timeout/.test(messageOf(error)) ? new PoolerError(tooSmall) : (asPoolerError(error) ?? error)
  }
}

/** Translates a pooler's own error (PgBouncer's) into a PoolerError; null for any other error. */
export function asPoolerError(error: unknown): PoolerError | null {
  if (error instanceof PoolerError) return error
  const message = messageOf(error)
  if (/^unsupported startup parameter(:| in) options/.test(message)) return new PoolerError(optionsLost)
  return /statement pooling mode/.test(message) ? new PoolerError(noTransactions) : null
}

/**
 * In transaction mode two sessions share a backend, or one session moves between several. An idle pooler gives out the
 * connection returned last, so one round shows it. A busy one shows it within a few rounds.
 */
async function checkOwnBackend(connectionString: string): Promise<void> {
  await withSessions(connectionString, 2, async ([one, other]) => {
    const backend = await backendOf(one)
    for (let round = 1; round <= rounds; round++) {
      await other.query('BEGIN')
      const apart = (await backendOf(other)) !== backend && (await backendOf(one)) === backend
      await other.query('ROLLBACK')
      if (!apart) throw new PoolerError(shared)
    }
  })
}

const leaveMarkSql = statement(
  'leaveMark',
  { mark: z.string() },
  "SELECT pg_catalog.set_config('evenkeel.mark', $1, false) AS mark",
)

const readMarkSql = statement(
  'readMark',
  { mark: z.string().nullable() },
  "SELECT pg_catalog.current_setting('evenkeel.mark', true) AS mark",
)

/**
 * Tests the reset with a setting that has no effect. Not every session gets the connection of the one before. If none
 * does, the pooler passes.
 */
async function checkReset(connectionString: string): Promise<void> {
  const mark = randomUUID()
  const marked = await withSessions(connectionString, 1, async ([client]) => {
    await leaveMarkSql.one({ db: client }, [mark])
    return backendOf(client)
  })
  for (let round = 1; round <= rounds; round++) {
    const backend = await withSessions(connectionString, 1, async ([client]) => {
      if ((await readMarkSql.one({ db: client })).mark === mark) throw new PoolerError(leftBehind)
      return backendOf(client)
    })
    if (backend === marked) return
  }
}

const readBackendSql = statement('readBackend', { pid: z.number() }, 'SELECT pg_catalog.pg_backend_pid() AS pid')

/** Pid of the backend of a session. Behind a pooler the pid in the connection's startup differs. */
export async function backendOf(client: pg.ClientBase): Promise<number> {
  return (await readBackendSql.one({ db: client })).pid
}

async function withSessions<T>(
  connectionString: string,
  count: 1 | 2,
  work: (clients: [pg.Client, pg.Client]) => Promise<T>,
): Promise<T> {
  const clients = Array.from({ length: count }, () => {
    const client = new pg.Client({
      connectionString: splitStartupOptions(connectionString).url,
      application_name: 'evenkeel control',
      connectionTimeoutMillis: answerWithinMs,
      query_timeout: answerWithinMs,
    })
    // Without a listener, the error event of a broken connection would end the process. Its statement fails in any
    // case.
    return client.on('error', () => undefined)
  })
  try {
    for (const client of clients) await client.connect()
    return await work(clients as [pg.Client, pg.Client])
  } finally {
    await Promise.all(clients.map((client) => client.end().catch(() => undefined)))
  }
}
