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
 * What a worker may do next: a window of so many rows; nothing for so many seconds, which another run may use; nothing, for it
 * was told to stop, or its run has changed; nothing, for the lease is lost.
 */
export type Leave =
  | { readonly kind: 'window'; readonly rows: number }
  | { readonly kind: 'later'; readonly seconds: number }
  | { readonly kind: 'interrupted' }
  | { readonly kind: 'lost' }

/** A place for one lease at a time, and what it owes the database from one lease to the next. */
export interface Slot {
  readonly duty: DutyCycle
  /** When the lease before ended. Monotonic milliseconds. */
  idleSince: number
}

/** Keeps the lease through a wait. False when it is no longer ours. */
export type Keep = () => Promise<boolean>

/**
 * Keeps one worker to what its run and its database can bear. Rows under `maxRowsPerSecond` are drawn from the run's own
 * bucket, before the window that uses them. The load is paid for after each statement, by the slot: what one lease owes it
 * pays before it gives its range back, and what is left because the lease was lost, the next lease in this slot pays.
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

  /** What the worker has waited for the load since that was last counted, as a part of the run's own time. */
  get throttledMs(): number {
    return this.#throttledMs
  }

  /** A checkpoint has counted the time so far. */
  counted(): void {
    this.#throttledMs = 0
  }

  /** Whether its slot has to rest before the next statement. */
  owes(run: Run): boolean {
    return this.#duty.wait(this.#deps.pace.share(run).share) > 0
  }

  /** A statement was sent for a window of so many rows, and took so long, whatever came of it. */
  charge(rows: number, seconds: number): void {
    this.#drawn.use(rows)
    this.#duty.worked(seconds)
  }

  /** Waits until the next window may begin, of at most so many rows. */
  async wait(run: Run, size: number, keep: Keep, stop: AbortSignal): Promise<Leave> {
    const drawn = await this.#draw(run, size, keep, stop)
    if (drawn.kind !== 'window') return drawn
    const paid = await this.pay(run, keep, stop)
    return paid === 'paid' ? drawn : { kind: paid }
  }

  /** Rests for what the slot owes. */
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

  /** It has waited for something else, which is a rest all the same. */
  idled(run: Run, seconds: number): void {
    this.#duty.rested(seconds, this.#deps.pace.share(run).share)
  }

  /** Puts back what was drawn and not used. */
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

  /** The rate that rows are drawn at; null where there is none. */
  #rateOf({ options }: Run): RowRate | null {
    // A check only reads: a rate is for what replicas and vacuum have to follow.
    if (options.maxRowsPerSecond === null || isCheck(this.#lease.phase)) return null
    return rowRate(options.maxRowsPerSecond, options.parallelism)
  }

  /** What ends a wait before its time. */
  async #heed(run: Run, keep: Keep, stop: AbortSignal): Promise<'interrupted' | 'lost' | null> {
    const { pace } = this.#deps
    // Whoever raises a limit does not want to see the old one waited for.
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
