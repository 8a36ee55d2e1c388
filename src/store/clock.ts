/**
 * The database's clock can go back: a failover to a machine whose clock is right, a restored machine, a step of NTP. A time that
 * lies further ahead than it can have been written was written before that, and says nothing: it counts as run out.
 */

/** The longest lease, that of a worker which cuts its range, and some seconds. */
const maxLeaseSeconds = 60
/** A time of the past may be written by one session and compared by another a moment earlier. */
const slack = "interval '1 second'"

/** Whether a worker has a range by this lease. Null where there is none. */
export function leaseHolds(until: string): string {
  return `(${until} > clock_timestamp() AND ${until} <= clock_timestamp() + make_interval(secs => ${maxLeaseSeconds}))`
}

/** When a range may be woken; null where it need not wait, or where that was written by a clock that has gone back. */
export function wakesAt(range: string, now = 'clock_timestamp()'): string {
  return `CASE WHEN ${range}.wake_at <= ${now} + make_interval(secs => ${range}.wait_seconds) + ${slack} THEN ${range}.wake_at END`
}

/** Whether a moment that was written down as now lies ahead. */
export function isAhead(moment: string): string {
  return `${moment} > clock_timestamp() + ${slack}`
}

/** How far a moment that was written down as now is away, before or behind. Seconds. */
export function secondsFrom(moment: string, now = 'clock_timestamp()'): string {
  return `abs(extract(epoch FROM ${now} - ${moment}))::float8`
}
