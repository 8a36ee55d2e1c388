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

/** One row after the other failed alone with one error, and none passed in between: it is not the rows. */
export class NoRowPasses extends Error {
  /** What the rows wait for, where that is a lock. */
  readonly wait: string | null

  constructor(cause: unknown, wait: string | null) {
    super('no row passes', { cause })
    this.wait = wait
  }
}

/** What came of a window that failed: smaller ones, its one row passed over as committed, or a fence that was shut. */
export type Isolated =
  | { readonly kind: 'narrowed' }
  | { readonly kind: 'fenced' }
  | { readonly kind: 'set-aside' | 'left'; readonly result: BatchResult }

/**
 * Finds the rows of a lease that fail alone, so that the rest of the range goes on. One that waits for a lock is left for
 * later. One that fails on its values is set aside. One that fails with an error that all rows might meet alike is left once,
 * and set aside when it fails again.
 */
export class PoisonRowIsolator {
  readonly #control: Control
  readonly #lease: Lease
  readonly #client: PoolClient
  readonly #watch: LockWatch
  readonly #bisection = new Bisection()
  readonly #streak: Streak
  /** The one row that the next window is. */
  #suspect: Straggler | null = null
  /** Windows are narrowed down for locks: each that waits costs a whole `lock_timeout`, so it is short. */
  #forLocks = false
  #sessionEnded = false

  constructor(control: Control, lease: Lease, client: PoolClient, watch: LockWatch) {
    this.#control = control
    this.#lease = lease
    this.#client = client
    this.#watch = watch
    this.#streak = new Streak(lease.attempts)
  }

  /** Whether the size of windows says nothing of what a batch costs. */
  get narrowed(): boolean {
    return this.#bisection.narrowed
  }

  /** Whether the last error ended the session: the row that met it is passed over by another, and the lease is given back. */
  get sessionEnded(): boolean {
    return this.#sessionEnded
  }

  /** Whether a row has failed and none has passed since. */
  get inStreak(): boolean {
    return this.#streak.length > 0
  }

  /** The error that so many rows in a row failed with that it cannot be theirs; null while there is none. */
  get blockedBy(): unknown {
    return this.#streak.verdict
  }

  /** Rows for the next window, where pace would have it so large. */
  limit(wanted: number): number {
    return this.#bisection.limit(wanted)
  }

  /**
   * Runs a window. Which row is tried alone has to be known before it fails; also where no larger window has failed under this
   * lease, for a row that takes longer than a slice to fail is met once in each. Among rows that wait for locks it need not be:
   * there may be thousands, and they are only put off.
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

  /** The row that a window of one would be; null where there is none. */
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
   * A window failed. Throws a Problem when the row that fails alone is one too many for the quarantine, the error itself when
   * it fails without any row, and whatever Postgres throws.
   */
  async failed(error: unknown, input: BatchInput, run: Run): Promise<Isolated> {
    // The check before this one passes such rows over: this one has come to fail since then, and the next check finds it.
    if (phases[this.#lease.phase].over === 'pages') throw error
    this.#sessionEnded = endsItsSession(error)
    const waits = recoveryFrom(error) === 'leave'
    if (waits && input.limit === 1 && this.#forLocks && this.#suspect === null)
      return this.#leave(error, null, input, run)
    this.#forLocks = waits
    if (this.#suspect === null) {
      // A trigger for each statement, for instance: there is nothing that could be passed over, and no window that would pass.
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
    // It is no row of the table that waits, and no smaller window would not.
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
    // Another row has come to stand in its place.
    this.#bisection.passed(0, 1)
    return { kind: 'narrowed' }
  }

  async #setAside(key: Cursor, error: unknown, input: BatchInput, run: Run): Promise<BatchResult | null> {
    await this.#refuseOneTooMany(key, error, run)
    const values = [key, faultSqlstate(error), describeFault(error)]
    return runBatch(this.#session, { text: this.#setAsideSql(input, run), values }, input)
  }

  /** What passes a row over changes nothing of it: where need be, a session for the control schema does it. */
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
        ? `${row}; and maxQuarantined is 0. Mend the data or the job, then retry; or PATCH the run with a higher maxQuarantined, for such rows to be set aside, then retry.`
        : `${row}; and ${most} others are in quarantine already, as many as maxQuarantined allows. Mend the data or the job, then POST /runs/${id}/quarantine/retry, which goes on with those rows too; or PATCH the run with a higher maxQuarantined, then retry.`,
      { key, sqlstate },
    )
  }
}

function boundsOf({ cursor, upper }: BatchInput): { readonly cursor: boolean; readonly upper: boolean } {
  return { cursor: cursor !== null, upper: upper !== null }
}
