import type { PoolClient } from 'pg'
import { Problem } from '../core/errors.ts'
import {
  classifyError,
  describeFault,
  endsItsSession,
  faultSqlstate,
  isAboutValues,
  recoveryFrom,
} from '../core/fault.ts'
import { Bisection } from '../core/range/bisection.ts'
import type { Cursor } from '../core/range/key.ts'
import { isCheck, phases } from '../core/range/phase.ts'
import { Streak } from '../core/range/streak.ts'
import { type BatchInput, type BatchResult, runBatch } from '../engine/batch/batch.ts'
import { leaveSql, leaveStragglerSql } from '../engine/batch/leave.ts'
import { firstKey, setAsideSql, setStragglerAsideSql } from '../engine/batch/quarantine.ts'
import { tableSql } from '../engine/batch/table.ts'
import type { Control } from '../store/control.ts'
import type { Lease } from '../store/leases.ts'
import { countFailures, hasRoomInQuarantine } from '../store/quarantine.ts'
import type { Run } from '../store/run.ts'
import { nextStraggler, type Straggler } from '../store/stragglers.ts'
import type { LockWatch } from './lock-watch.ts'

/** Row after row failed alone with one error, and none passed in between, so the rows are not the cause. */
export class NoRowPasses extends Error {
  /** The lock that the rows wait for; null if they do not. */
  readonly wait: string | null

  constructor(cause: unknown, wait: string | null) {
    super('no row passes', { cause })
    this.wait = wait
  }
}

/**
 * Outcome of a failed window: a smaller window follows, its one row was passed over in a committed batch, or the fence
 * was shut.
 */
export type Isolated =
  | { readonly kind: 'narrowed' }
  | { readonly kind: 'fenced' }
  | { readonly kind: 'set-aside' | 'left'; readonly result: BatchResult }

/**
 * Finds the rows of a lease that fail alone, so that the rest of the range can go on. A row that waits for a lock is
 * left for later. A row that fails on its values is set aside. A row that fails with an error that any row might meet
 * is left once, and set aside when it fails again.
 */
export class PoisonRowIsolator {
  readonly #control: Control
  readonly #lease: Lease
  readonly #client: PoolClient
  readonly #watch: LockWatch
  readonly #bisection = new Bisection()
  readonly #streak: Streak
  /** The only row of the next window; null if the window has more. */
  #suspect: Straggler | null = null
  /**
   * Windows are narrowed down for locks. `lock_timeout` is short then, because each window that waits costs all of it.
   */
  #forLocks = false
  #sessionEnded = false

  constructor(control: Control, lease: Lease, client: PoolClient, watch: LockWatch) {
    this.#control = control
    this.#lease = lease
    this.#client = client
    this.#watch = watch
    this.#streak = new Streak(lease.attempts)
  }

  /** Whether windows are narrowed down, so that their size says nothing about the cost of a batch. */
  get narrowed(): boolean {
    return this.#bisection.narrowed
  }

  /** Whether the last error ended the session. Another session passes the row over, and the lease is given back. */
  get sessionEnded(): boolean {
    return this.#sessionEnded
  }

  /** Whether a row has failed and no row has passed since. */
  get inStreak(): boolean {
    return this.#streak.length > 0
  }

  /** The error of so many rows in a row that the rows cannot be the cause; null if there is none. */
  get blockedBy(): unknown {
    return this.#streak.verdict
  }

  /** Rows for the next window, of the `wanted` rows that pace allows. */
  limit(wanted: number): number {
    return this.#bisection.limit(wanted)
  }

  /**
   * Runs a window. The row of a window of one must be known before it fails. That is also true if no larger window has
   * failed under this lease: a row that takes longer than a slice to fail is met once in each slice. Rows that wait for
   * locks need not be known: there may be thousands, and they are only left for later.
   */
  async run(target: Run['target'], input: BatchInput, wanted: number, work: () => Promise<BatchResult | null>) {
    this.#suspect = null
    const alone = input.limit === 1 && phases[this.#lease.phase].over !== 'pages'
    if (alone && (!this.#forLocks || this.#watch.due)) this.#suspect = await this.#next(target, input)
    const watched = this.#suspect && this.#watch.due ? this.#suspect.key : null
    await this.#watch.setPatience(this.#forLocks && !watched ? 'short' : 'usual')
    const result = await (watched ? this.#watch.during(watched, work) : work())
    if (result) this.#passed(result, wanted)
    return result
  }

  #passed({ scanned, done, left }: BatchResult, wanted: number): void {
    const { phase } = this.#lease
    this.#bisection.passed(scanned + (phases[phase].over === 'stragglers' ? left : 0), wanted)
    if (done > 0 || (isCheck(phase) && scanned > 0)) this.#streak.passed()
    this.#forLocks &&= this.#bisection.narrowed
  }

  /** The row of a window of one; null if there is none. */
  async #next(
    target: Run['target'],
    { cursor, upper }: Pick<BatchInput, 'cursor' | 'upper'>,
  ): Promise<Straggler | null> {
    const { phase, runId, leaf } = this.#lease
    if (phases[phase].over === 'stragglers') return nextStraggler(this.#control, runId, cursor)
    const key = await firstKey(this.#client, tableSql(target, leaf), cursor, upper)
    if (!key) return null
    return { key, failures: isCheck(phase) ? await countFailures(this.#control, runId, key) : 0 }
  }

  /**
   * Handles a failed window. Throws a Problem if the quarantine has no room for the row that fails alone, the error
   * itself if it does not come from a row, and any error of Postgres.
   */
  async failed(error: unknown, input: BatchInput, run: Run): Promise<Isolated> {
    // The check by key passes such rows over. This row began to fail since then, and the next check finds it.
    if (phases[this.#lease.phase].over === 'pages') throw error
    this.#sessionEnded = endsItsSession(error)
    const waits = recoveryFrom(error) === 'leave'
    if (waits && input.limit === 1 && this.#forLocks && this.#suspect === null)
      return this.#leave(error, null, input, run)
    this.#forLocks = waits
    if (this.#suspect === null) {
      // No row is left, so a trigger for each statement may be the cause. There is no row to pass over, and no window
      // would pass.
      if (input.limit === 1 && (await this.#next(run.target, input)) === null) throw error
      this.#bisection.failed(input.limit)
      return { kind: 'narrowed' }
    }
    const { key, failures } = this.#suspect
    if (waits || (!isAboutValues(error) && failures === 0)) return this.#leave(error, key, input, run)
    return this.#passOver(await this.#setAside(key, error, input, run), 'set-aside')
  }

  async #leave(error: unknown, key: Cursor | null, input: BatchInput, run: Run): Promise<Isolated> {
    const waits = recoveryFrom(error) === 'leave'
    const values = [key, waits ? 0 : 1]
    const result = await runBatch(this.#session, { text: this.#leaveSql(input, run), values }, input)
    const left = this.#passOver(result, 'left')
    // The lock that is waited for is not on a row of the table, so smaller windows would wait for it, too.
    if (left.kind === 'narrowed' && key === null) throw error
    if (left.kind === 'left')
      this.#streak.failed(
        error,
        waits ? classifyError(error) : `${faultSqlstate(error)} ${describeFault(error)}`,
        waits,
      )
    return left
  }

  #passOver(result: BatchResult | null, kind: 'set-aside' | 'left'): Isolated {
    if (!result) return { kind: 'fenced' }
    if (result.matched > 0) {
      this.#bisection.passedOver()
      return { kind, result }
    }
    // Another row is in its place now.
    this.#bisection.passed(0, 1)
    return { kind: 'narrowed' }
  }

  async #setAside(key: Cursor, error: unknown, input: BatchInput, run: Run): Promise<BatchResult | null> {
    await this.#refuseOneTooMany(key, error, run)
    const values = [key, faultSqlstate(error), describeFault(error)]
    return runBatch(this.#session, { text: this.#setAsideSql(input, run), values }, input)
  }

  /**
   * Passing a row over does not change it, so a session for the control schema can do it if the engine's session has
   * ended.
   */
  get #session(): Pick<PoolClient, 'query'> {
    return this.#sessionEnded ? (this.#control.db as Pick<PoolClient, 'query'>) : this.#client
  }

  #setAsideSql(input: BatchInput, { target }: Run): string {
    const { s } = this.#control
    if (phases[this.#lease.phase].over === 'stragglers') return setStragglerAsideSql(s, tableSql(target))
    return setAsideSql(s, tableSql(target, this.#lease.leaf), boundsOf(input), this.#status)
  }

  #leaveSql(input: BatchInput, { target }: Run): string {
    const { s } = this.#control
    if (phases[this.#lease.phase].over === 'stragglers') return leaveStragglerSql(s, tableSql(target))
    return leaveSql(s, tableSql(target, this.#lease.leaf), boundsOf(input), this.#status)
  }

  get #status(): 'running' | 'verifying' {
    return phases[this.#lease.phase].status
  }

  async #refuseOneTooMany(key: Cursor, error: unknown, { id, options }: Run): Promise<void> {
    const most = options.maxQuarantined
    if (await hasRoomInQuarantine(this.#control, id, key, most)) return
    const sqlstate = faultSqlstate(error)
    const row = `The row with key ${JSON.stringify(key)} fails by itself: ${describeFault(error)} [${sqlstate}]`
    throw new Problem(
      'conflict',
      most === 0
        ? `${row}; and maxQuarantined is 0. Fix the data or the job, then retry; or PATCH the run with a higher maxQuarantined, so that such rows are set aside, then retry.`
        : `${row}; and ${most} others are in quarantine already, as many as maxQuarantined allows. Fix the data or the job, then POST /runs/${id}/quarantine/retry, which includes those rows; or PATCH the run with a higher maxQuarantined, then retry.`,
      { key, sqlstate },
    )
  }
}

function boundsOf({ cursor, upper }: BatchInput): { readonly cursor: boolean; readonly upper: boolean } {
  return { cursor: cursor !== null, upper: upper !== null }
}
