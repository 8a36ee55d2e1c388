import { Problem } from './errors.ts'

/**
 * What an error in a batch means for its range.
 * `again`: the database turned this batch away, a smaller one may pass; `hold`: the database cannot serve us now, which
 * says nothing about the job; `fail`: the job, its data or our code is at fault, and trying again would end the same.
 */
export type Verdict = 'again' | 'hold' | 'fail'

const again = new Set([
  '40001', // serialization_failure
  '40P01', // deadlock_detected
  '55P03', // lock_not_available: lock_timeout
  '57014', // query_canceled: statement_timeout
])

const outages = new Set([
  '25006', // read_only_sql_transaction: a primary that was demoted
  '57P01', // admin_shutdown
  '57P02', // crash_shutdown
  '57P03', // cannot_connect_now
  '57P05', // idle_session_timeout
  '25P03', // idle_in_transaction_session_timeout
  '28000', // invalid_authorization_specification: a role is being changed
  '28P01', // invalid_password: as above
])

// Where Postgres refuses a session before it has begun: the database is closed to connections, gone, or not ours to enter.
// The same SQLSTATEs also come out of statements, where they mean something else; the routine's name is never translated.
const sessionStart = new Set(['InitPostgres', 'CheckMyDatabase'])

/** Judges what a batch threw. What came without an SQLSTATE came from the connection, unless it is a defect of ours. */
export function judge(error: unknown): Verdict {
  if (error instanceof Problem || error instanceof TypeError || error instanceof RangeError) return 'fail'
  const sqlstate = sqlstateOf(error)
  if (sqlstate === null) return 'hold'
  if (again.has(sqlstate)) return 'again'
  return isOutage(error) ? 'hold' : 'fail'
}

/** Whether an error says that Postgres cannot be reached, rather than that it refuses what was asked. */
export function isOutage(error: unknown): boolean {
  const sqlstate = sqlstateOf(error)
  const { code, message = '', routine = '' } = error as { code?: unknown; message?: string; routine?: string }
  if (sqlstate !== null) return isOutageState(sqlstate) || sessionStart.has(routine)
  // Node's system errors carry a code; what the driver says itself is only words.
  return typeof code === 'string'
    ? /^E[A-Z]+$/.test(code)
    : /^Connection terminated|^timeout exceeded when trying to connect/.test(message)
}

/** The five characters of an SQLSTATE, or null: Node's own codes (ECONNRESET, EPIPE) are of other lengths or words. */
function sqlstateOf(error: unknown): string | null {
  const code = (error as { code?: unknown } | null)?.code
  return typeof code === 'string' && /^[0-9A-Z]{5}$/.test(code) && code !== 'EPIPE' ? code : null
}

function isOutageState(sqlstate: string): boolean {
  // Classes 08 connection, 53 insufficient resources, 58 system error.
  return outages.has(sqlstate) || /^(08|53|58)/.test(sqlstate)
}
