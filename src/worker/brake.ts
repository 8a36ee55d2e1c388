import type { RunOptions } from '../core/options.ts'
import { Duty, rateSize, rateWait } from '../core/pace.ts'
import type { Throttle } from '../core/throttle.ts'
import { countLeases, type Lease } from '../store/leases.ts'
import type { Run } from '../store/runs.ts'
import type { WorkerDeps } from './deps.ts'
import { waitSeconds } from './wait.ts'

const shareGoodForMs = 250
const longestDeafSeconds = 0.25

/** Keeps one worker to its share: of the rate that its run may go at, and of the load that the database can bear. */
export class Brake {
  readonly #deps: WorkerDeps
  readonly #lease: Lease
  readonly #duty = new Duty()
  #rate: { rowsPerSecond: number | null; readAt: number } = { rowsPerSecond: null, readAt: Number.NEGATIVE_INFINITY }
  #throttle: Throttle | null = null
  #throttledMs = 0

  constructor(deps: WorkerDeps, lease: Lease) {
    this.#deps = deps
    this.#lease = lease
  }

  /** What holds the worker back, and for how long it did since that was last asked away. */
  get throttle(): Throttle | null {
    return this.#throttle
  }

  get throttledMs(): number {
    return this.#throttledMs
  }

  /** A checkpoint has counted the time so far. */
  counted(): void {
    this.#throttledMs = 0
  }

  /** The options have changed: the share is read anew. */
  forget(): void {
    this.#rate.readAt = Number.NEGATIVE_INFINITY
  }

  /** Rows for the next window, where it would be so large: no more than a second of the rate. */
  async limit(options: RunOptions, size: number): Promise<number> {
    // The residual check only reads: a rate is for what replicas and vacuum have to follow.
    if (options.maxRowsPerSecond === null || this.#lease.kind === 'residual') this.#rate.rowsPerSecond = null
    else if (performance.now() - this.#rate.readAt > shareGoodForMs) {
      const leases = await countLeases(this.#deps.control, this.#lease.runId)
      this.#rate = { rowsPerSecond: options.maxRowsPerSecond / Math.max(1, leases), readAt: performance.now() }
    }
    return rateSize(size, this.#rate.rowsPerSecond)
  }

  /**
   * Waits for what a batch was too fast: by the run's own rate, and by the load that the database can bear; whichever asks
   * for more. A wait that would outlast the lease is returned, in seconds, for the slot to be used by others. One for the load is not
   * longer than a slice: it may have grown by then, and whoever sits out a wait does not hear of it.
   */
  async slow(
    run: Run,
    batch: { readonly scanned: number; readonly seconds: number },
    beganAt: number,
    stop: AbortSignal,
  ): Promise<number> {
    const limit = run.options.maxRowsPerSecond
    const { share, cause } = this.#deps.pace.share(run)
    const elapsed = (performance.now() - beganAt) / 1000
    const forRate = rateWait(batch.scanned, elapsed, this.#rate.rowsPerSecond)
    const forLoad = Math.min(this.#deps.timings.sliceSeconds, this.#duty.worked(batch.seconds, share))
    const wait = Math.max(forRate, forLoad)
    const since = this.#throttle?.since ?? new Date().toISOString()
    if (forRate > forLoad && limit !== null) {
      const value = Math.round(batch.scanned / elapsed)
      this.#throttle = { reason: 'maxRowsPerSecond is reached.', signal: 'rate', value, limit, since }
    } else this.#throttle = share < 1 && cause ? { ...cause, since } : null
    if (wait > this.#deps.timings.maxQuietSeconds) return wait
    if (wait > 0) await this.#rest(run, wait, stop)
    return 0
  }

  async #rest(run: Run, seconds: number, stop: AbortSignal): Promise<void> {
    const began = performance.now()
    const left = () => seconds - (performance.now() - began) / 1000
    // Whoever raises a limit does not want to see the old one waited for.
    while (left() > 0 && !stop.aborted && !this.#deps.pace.hasChanged(run))
      await waitSeconds(Math.min(left(), longestDeafSeconds), stop)
    const rested = performance.now() - began
    this.#duty.rested(rested / 1000)
    this.#throttledMs += rested
    const signal = this.#throttle?.signal ?? 'start'
    this.#deps.metrics.throttledSeconds.inc({ job_name: run.job, signal }, rested / 1000)
  }
}
