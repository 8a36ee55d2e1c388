import { isCheck } from '../core/range/phase.ts'
import type { DutyCycle } from '../core/throttle/batch-sizer.ts'
import { DrawnRows, type RowRate, rowRate } from '../core/throttle/row-rate.ts'
import type { Lease } from '../store/leases.ts'
import { drawRows, returnRows } from '../store/row-rates.ts'
import type { Run } from '../store/run.ts'
import { waitSeconds } from '../util/sleep.ts'
import type { WorkerDeps } from './deps.ts'

const maxDeafSeconds = 0.25

/**
 * What a worker may do next: a window of `rows` rows; `later`, so that another run may use the slot for `seconds`;
 * `interrupted` by a stop or a change of the run; `lost`, because the lease is.
 */
export type Leave =
  | { readonly kind: 'window'; readonly rows: number }
  | { readonly kind: 'later'; readonly seconds: number }
  | { readonly kind: 'interrupted' }
  | { readonly kind: 'lost' }

/** A place for one lease at a time. It carries its debt to the database from one lease to the next. */
export interface Slot {
  readonly duty: DutyCycle
  /** End of the previous lease. Monotonic milliseconds. */
  idleSince: number
}

/** Keeps the lease through a wait. False if the lease is lost. */
export type Keep = () => Promise<boolean>

/**
 * Limits one worker to the pace of its run and its database. Rows under `maxRowsPerSecond` are drawn from the run's
 * token bucket before the window that uses them. Rest is due after each statement, and the slot owes it. A lease pays
 * its debt before it gives its range back. If the lease is lost, the next lease in this slot pays the rest.
 */
export class WorkerLimiter {
  readonly #deps: WorkerDeps
  readonly #lease: Lease
  readonly #duty: DutyCycle
  readonly #drawn = new DrawnRows()
  #idleSeconds: number
  #throttledMs = 0

  constructor(deps: WorkerDeps, lease: Lease, slot: Slot) {
    this.#deps = deps
    this.#lease = lease
    this.#duty = slot.duty
    this.#idleSeconds = (performance.now() - slot.idleSince) / 1000
  }

  /** Rest since the last checkpoint, as a part of the run's own time. Milliseconds. */
  get throttledMs(): number {
    return this.#throttledMs
  }

  /** Starts again at 0: a checkpoint has counted the time so far. */
  counted(): void {
    this.#throttledMs = 0
  }

  /** Whether the slot has to rest before the next statement. */
  owes(run: Run): boolean {
    return this.#duty.wait(this.#deps.pace.share(run).share) > 0
  }

  /** Records a statement for a window of `rows` rows that took `seconds`, whether it committed or failed. */
  charge(rows: number, seconds: number): void {
    this.#drawn.use(rows)
    this.#duty.worked(seconds)
  }

  /** Waits until the next window may begin, of at most `size` rows. */
  async wait(run: Run, size: number, keep: Keep, stop: AbortSignal): Promise<Leave> {
    const drawn = await this.#draw(run, size, keep, stop)
    if (drawn.kind !== 'window') return drawn
    const paid = await this.pay(run, keep, stop)
    return paid === 'paid' ? drawn : { kind: paid }
  }

  /** Rests until the slot owes nothing. */
  async pay(run: Run, keep: Keep, stop: AbortSignal): Promise<'paid' | 'interrupted' | 'lost'> {
    this.idled(run, this.#idleSeconds)
    this.#idleSeconds = 0
    for (;;) {
      const { share, cause } = this.#deps.pace.share(run)
      const wait = this.#duty.wait(share)
      if (wait === 0) return 'paid'
      const seconds = await this.#rest(Math.min(wait, maxDeafSeconds), run, cause?.signal ?? 'start', stop)
      this.#throttledMs += (seconds * 1000) / this.#deps.pace.workersOf(run)
      const broken = await this.#heed(run, keep, stop)
      if (broken) return broken
    }
  }

  /** Counts another wait as rest. */
  idled(run: Run, seconds: number): void {
    this.#duty.rested(seconds, this.#deps.pace.share(run).share)
  }

  /** Returns rows that were drawn and not used to the bucket. */
  async giveBack(): Promise<void> {
    const rows = this.#drawn.giveBack()
    if (rows > 0) await returnRows(this.#deps.control, this.#lease.runId, rows)
  }

  async #draw(run: Run, size: number, keep: Keep, stop: AbortSignal): Promise<Leave> {
    const rate = this.#rateOf(run)
    if (rate === null) return { kind: 'window', rows: size }
    const rows = this.#drawn.window(size, rate.portion)
    if (rows > 0) return { kind: 'window', rows }
    const { runId } = this.#lease
    const { granted, waitSeconds: wait } = await drawRows(
      this.#deps.control,
      runId,
      rate.portion,
      rate,
      this.#deps.timings.maxQuietSeconds,
    )
    if (!granted) return { kind: 'later', seconds: wait }
    this.#drawn.draw(rate.portion)
    const until = performance.now() + wait * 1000
    for (let left = wait; left > 0; left = (until - performance.now()) / 1000) {
      await this.#rest(Math.min(left, maxDeafSeconds), run, 'rate', stop)
      const broken = await this.#heed(run, keep, stop)
      if (broken) {
        await this.giveBack()
        return { kind: broken }
      }
    }
    return { kind: 'window', rows: this.#drawn.window(size, rate.portion) }
  }

  /** Row rate of the run; null without one. */
  #rateOf({ options }: Run): RowRate | null {
    // A check only reads. The rate limits what replicas and vacuum have to follow, which is writes.
    if (options.maxRowsPerSecond === null || isCheck(this.#lease.phase)) return null
    return rowRate(options.maxRowsPerSecond, options.parallelism)
  }

  /** Why a wait has to end early; null if it goes on. */
  async #heed(run: Run, keep: Keep, stop: AbortSignal): Promise<'interrupted' | 'lost' | null> {
    const { pace } = this.#deps
    // A raised limit takes effect at once, so a wait for the old one ends here.
    if (stop.aborted || pace.hasChanged(run) || pace.holdOf(run)) return 'interrupted'
    return (await keep()) ? null : 'lost'
  }

  async #rest(seconds: number, run: Run, signal: string, stop: AbortSignal): Promise<number> {
    const began = performance.now()
    await waitSeconds(seconds, stop)
    const rested = (performance.now() - began) / 1000
    this.idled(run, rested)
    this.#deps.metrics.throttledSeconds.inc({ job_name: run.job, signal }, rested)
    return rested
  }
}
