import type { Backoff } from './backoff.ts'

/** Durations after which processes notice each other's failures, or give up waiting. */
export interface Timings {
  /**
   * How long a range stays with a worker that no longer renews its lease. Each batch renews it. A batch in flight is
   * never taken for a dead one, because its range's row is locked. Seconds.
   */
  readonly leaseSeconds: number
  /** The longest wait in which a worker renews no lease. Seconds. */
  readonly maxQuietSeconds: number
  /** How long a worker keeps a range before it yields to other runs. Seconds. */
  readonly sliceSeconds: number
  /** Waits of a range whose slice ended in trouble. */
  readonly retryBackoff: Backoff
  /** How often each process looks for lost leases and tickets, and for runs that lack workers. Seconds. */
  readonly rescueEverySeconds: number
  /** How long a ticket may be out before the queue is asked whether it still has it. Seconds. */
  readonly ticketGraceSeconds: number
  /** How long a hold lasts without renewal by the process that wrote it, before other processes may end it. Seconds. */
  readonly holdStaleSeconds: number
  /**
   * How long a run may go without a sign of life before it is reported as stalled. Longer than five tries of a batch
   * that `statementSeconds` cuts short, and the lease after them. Seconds.
   */
  readonly stalledAfterSeconds: number
  /** The longest statement on a user's table. Seconds. */
  readonly statementSeconds: number
  /**
   * How long a process that is told to stop waits for its batches in flight. Long enough for a batch that takes all of
   * its timeout; supervisors kill after 30 s, as a rule. Seconds.
   */
  readonly stopSeconds: number
  /** How often expired runs are deleted. Seconds. */
  readonly retentionEverySeconds: number
}

/** The timings of the product. Tests pass shorter ones. */
export const timings: Timings = Object.freeze({
  leaseSeconds: 5,
  maxQuietSeconds: 5 / 3,
  sliceSeconds: 5,
  retryBackoff: Object.freeze({ first: 0.25, most: 15 }),
  rescueEverySeconds: 1,
  ticketGraceSeconds: 3,
  holdStaleSeconds: 3,
  stalledAfterSeconds: 60,
  statementSeconds: 10,
  stopSeconds: 20,
  retentionEverySeconds: 3600,
})
