import { Problem } from './errors.ts'

/**
 * What an error in a batch means for its range.
 * `again`: the database turned this batch away, a smaller one may pass; `hold`: the database cannot serve us now, which
 * says nothing about the job; `fail`: the job or its data is at fault, and trying again would end the same.
 */
export type Verdict = 'again' | 'hold' | 'fail'

const again = new Set([
  '40001', // serialization_failure
  '40P01', // deadlock_detected
  '55P03', // lock_not_available: lock_timeout
  '57014', // query_canceled: statement_timeout
])

const hold = new Set([
  '25006', // read_only_sql_transaction: a primary that was demoted
  '57P01', // admin_shutdown
  '57P02', // crash_shutdown
  '57P03', // cannot_connect_now
  '57P05', // idle_session_timeout
  '25P03', // idle_in_transaction_session_timeout
  '28000', // invalid_authorization_specification: a role is being changed
  '28P01', // invalid_password: as above
])

/** Judges by SQLSTATE; an error without one came from the connection, unless it is ours. */
export function judge(error: unknown): Verdict {
  if (error instanceof Problem || error instanceof TypeError || error instanceof RangeError) return 'fail'
  const code = (error as { code?: unknown }).code
  // Node's own codes (ECONNRESET, EPIPE) are longer than the five characters of an SQLSTATE.
  if (typeof code !== 'string' || !/^[0-9A-Z]{5}$/.test(code)) return 'hold'
  if (again.has(code)) return 'again'
  // Classes 08 connection, 53 insufficient resources, 58 system error.
  if (hold.has(code) || /^(08|53|58)/.test(code)) return 'hold'
  return 'fail'
}
