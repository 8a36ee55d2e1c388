/**
 * The database's clock can go back: after a failover to a machine with a correct clock, a restore, or a step of NTP. A
 * stored time further ahead than it can have been written dates from before that. It counts as expired.
 */

/** The longest lease, that of a worker splitting its range, plus a few seconds. */
const maxLeaseSeconds = 60
/** A time written by one session may be compared by another session a moment earlier. */
const slack = "interval '1 second'"

/** SQL: whether a lease is in force. Null if there is none. */
export function leaseHolds(until: string): string {
  return `(${until} > clock_timestamp() AND ${until} <= clock_timestamp() + make_interval(secs => ${maxLeaseSeconds}))`
}

/** SQL: when a range may be woken. Null if it need not wait, or if a clock that has since gone back wrote the time. */
export function wakesAt(range: string, now = 'clock_timestamp()'): string {
  return `CASE WHEN ${range}.wake_at <= ${now} + make_interval(secs => ${range}.wait_seconds) + ${slack} THEN ${range}.wake_at END`
}

/** SQL: whether a time written as now is in the future. */
export function isAhead(moment: string): string {
  return `${moment} > clock_timestamp() + ${slack}`
}

/** SQL: the distance to a time written as now, before or behind. Seconds. */
export function secondsFrom(moment: string, now = 'clock_timestamp()'): string {
  return `abs(extract(epoch FROM ${now} - ${moment}))::float8`
}
