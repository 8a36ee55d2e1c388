import type { PoolClient } from 'pg'
import { Problem } from '../core/errors.ts'
import type { ResolvedJob } from '../core/job.ts'
import type { Cursor } from '../core/key.ts'
import type { RunOptions } from '../core/options.ts'
import { BatchSizer, Duty, rateSize, rateWait, targetOf } from '../core/pace.ts'
import { judge } from '../core/sqlstate.ts'
import { type BatchResult, runBatch, stillMatch } from '../engine/batch.ts'
import { type BatchStatement, type UpdateStatements, updateStatements } from '../engine/update.ts'
import { countLeases, countLeasesBefore, type Lease, type Release, renewLease } from '../store/leases.ts'
import { findRun, type Run, updateReason } from '../store/runs.ts'
import { summariseStragglers } from '../store/stragglers.ts'
import type { Throttle } from '../store/totals.ts'
import type { Logger } from '../telemetry/logger.ts'
import { leaseSeconds, longestQuietSeconds, sliceSeconds, type WorkerDeps } from './deps.ts'
import { RangeSplitter } from './split.ts'
import { waitSeconds } from './wait.ts'

const triesOnOneWindow = 5
const shareGoodForMs = 250
const longestDeafSeconds = 0.25

/** The batches that one lease is worth. */
export class SliceLoop {
  readonly #deps: WorkerDeps
  readonly #lease: Lease
  readonly #client: PoolClient
  readonly #log: Logger
  readonly #statements: UpdateStatements
  readonly #sizer: BatchSizer
  readonly #endsAt = performance.now() + sliceSeconds * 1000
  #run: Run
  #cursor: Cursor | null
  #upper: Cursor | null
  #share: { rowsPerSecond: number | null; readAt: number } = { rowsPerSecond: null, readAt: Number.NEGATIVE_INFINITY }
  readonly #duty = new Duty()
  #throttle: Throttle | null = null
  #throttledMs = 0
  readonly #splitter: RangeSplitter
  readonly #sums = { batches: 0, scanned: 0, done: 0, left: 0 }
  #lastBeganAt = performance.now()

  constructor(deps: WorkerDeps, run: Run, job: ResolvedJob, lease: Lease, client: PoolClient, log: Logger) {
    this.#deps = deps
    this.#run = run
    this.#lease = lease
    this.#client = client
    this.#log = log
    this.#cursor = lease.cursor
    this.#upper = lease.upper
    this.#statements = updateStatements(deps.control.s, run.target, job, lease.leaf)
    this.#splitter = new RangeSplitter(deps, run, lease, client, log)
    this.#sizer = new BatchSizer(run.options, lease.batchSize ?? undefined)
  }

  /** Rows for the next window. */
  get batchSize(): number {
    return this.#sizer.next(this.#run.options)
  }

  /** Whether any batch under this lease is known to have committed. */
  get hasCommitted(): boolean {
    return this.#sums.batches > 0
  }

  /** Works until the range ends, the slice is over, the fence shuts or the signal says stop. Throws what Postgres throws. */
  async work(stop: AbortSignal): Promise<Release> {
    try {
      const wakeAfterSeconds = await this.#batches(stop)
      const workedMs = performance.now() - this.#lastBeganAt
      return { wakeAfterSeconds, attempts: 0, workedMs, throttledMs: this.#throttledMs, batchSize: this.batchSize }
    } finally {
      if (this.#sums.batches > 0)
        this.#log.info({ kind: this.#lease.kind, ...this.#sums, cursor: this.#cursor }, 'slice worked')
    }
  }

  /** Returns after how many seconds the range wants to be woken again. */
  async #batches(stop: AbortSignal): Promise<number> {
    while (!stop.aborted && performance.now() < this.#endsAt) {
      const hold = this.#deps.pace.holdOf(this.#run)
      if (hold) {
        await this.#deps.pace.hold(this.#run, hold)
        break
      }
      const options = await this.#options()
      const result = await this.#batch(options, stop)
      if (!result) {
        this.#log.info('fence shut: the run was stopped or is held, or the range has gone to another worker')
        break
      }
      await this.#learn(result, options)
      if (result.ended || (await this.#isTooMany(result.version))) break
      if (this.#lease.kind === 'stragglers' && result.scanned === 0) {
        const wait = await this.#waitForStragglers(stop)
        if (wait !== 'go on') return wait
      }
      const wait = await this.#throttleDown(result, stop)
      if (wait > 0) return wait
      await this.#giveAway()
    }
    return 0
  }

  /** One batch; turned away, the same window again with half the rows. */
  async #batch(options: RunOptions, stop: AbortSignal): Promise<BatchResult | null> {
    for (let attempt = 1; ; attempt += 1) {
      const began = performance.now()
      const spentMs = began - this.#lastBeganAt
      try {
        const result = await runBatch(this.#client, this.#statement(), {
          runId: this.#lease.runId,
          ordinal: this.#lease.ordinal,
          epoch: this.#lease.epoch,
          cursor: this.#cursor,
          upper: this.#upper,
          limit: rateSize(this.#sizer.next(options), this.#share.rowsPerSecond),
          leaseSeconds,
          workedMs: spentMs,
          throttledMs: this.#throttledMs,
          throttle: this.#throttle,
        })
        this.#lastBeganAt = began
        this.#throttledMs = 0
        return result
      } catch (error) {
        if (judge(error) !== 'again' || attempt >= triesOnOneWindow || stop.aborted) throw error
        this.#deps.metrics.batchErrors.inc({ job: this.#run.job, verdict: 'again' })
        this.#log.info({ err: error }, 'batch turned away: same window again, with half the rows')
        this.#sizer.shrink()
      }
    }
  }

  #statement(): BatchStatement {
    const bounds = { cursor: this.#cursor !== null, upper: this.#upper !== null }
    switch (this.#lease.kind) {
      case 'keys':
        return this.#statements.window(bounds)
      case 'stragglers':
        return this.#statements.stragglers()
      case 'residual':
        return this.#statements.residual(bounds)
    }
  }

  async #learn(result: BatchResult, options: RunOptions): Promise<void> {
    const { metrics } = this.#deps
    const { job } = this.#run
    this.#cursor = result.cursor
    this.#sums.batches += 1
    for (const count of ['scanned', 'done', 'left'] as const) this.#sums[count] += result[count]
    if (this.#lease.kind !== 'residual') {
      metrics.rows.inc({ job, outcome: 'done' }, result.done)
      metrics.rows.inc({ job, outcome: 'straggler' }, this.#lease.kind === 'keys' ? result.left : 0)
      metrics.rows.inc({ job, outcome: 'unmatched' }, this.#lease.kind === 'keys' ? result.scanned - result.matched : 0)
      metrics.rows.inc({ job, outcome: 'gone' }, result.gone)
    }
    metrics.batchSeconds.observe({ job }, result.seconds)
    // A check that reads is cheap per row and says nothing about what changing a row costs.
    const done = this.#lease.kind === 'residual' ? result.scanned : result.done
    const target = targetOf(options, this.#deps.pace.share(this.#run).targetSeconds)
    this.#sizer.observe({ scanned: result.scanned, done, seconds: result.seconds }, options, target)
    metrics.batchRows.observe({ job }, result.scanned)
    this.#log.debug({ ...result }, 'batch')
    if (this.#lease.attempts > 0 && this.#sums.batches === 1) await updateReason(this.#deps.control, this.#run.id, null)
    if (result.still.length > 0) await this.#refuseEndless(result.still)
  }

  /** Takes over options that have changed; true where they leave no room for this worker any more. */
  async #isTooMany(version: number): Promise<boolean> {
    if (version === this.#run.version) return false
    this.#run = (await findRun(this.#deps.control, this.#run.id)) ?? this.#run
    this.#share.readAt = Number.NEGATIVE_INFINITY
    return (await countLeasesBefore(this.#deps.control, this.#lease)) >= this.#run.options.parallelism
  }

  /** Where workers of the run would go idle, leaves them a part of what is left of this range. */
  async #giveAway(): Promise<void> {
    this.#upper = await this.#splitter.split({
      cursor: this.#cursor,
      upper: this.#upper,
      scanned: this.#sums.scanned,
      parallelism: this.#run.options.parallelism,
      batchSize: this.batchSize,
    })
  }

  /** A predicate that `set` does not make false would bring the same rows back for ever. */
  async #refuseEndless(keys: readonly Cursor[]): Promise<void> {
    const check = this.#statements.stillMatching()
    if (!check || !(await stillMatch(this.#client, check, keys))) return
    throw new Problem(
      'conflict',
      `where still matches rows after set has changed them, for one the row with key ${JSON.stringify(keys[0])}: this run would never end. Change where so that set makes it false, for instance by leaving out rows whose new value is null. The batches so far are committed.`,
      { keys },
    )
  }

  /** Waits for the next straggler within the slice, or says after how many seconds to come back. */
  async #waitForStragglers(stop: AbortSignal): Promise<number | 'go on'> {
    const { control } = this.#deps
    const summary = await summariseStragglers(control, this.#run.id)
    if (summary.count === 0) return 0
    await updateReason(
      control,
      this.#run.id,
      `${summary.count} ${summary.count === 1 ? 'row is' : 'rows are'} held by other sessions since ${summary.oldest?.toISOString()}; each is tried again until it is free. For instance key ${JSON.stringify(summary.sample[0])}: pg_locks and pg_stat_activity tell who holds it. If nobody does, a BEFORE trigger keeps the row from being changed.`,
    )
    const left = (this.#endsAt - performance.now()) / 1000
    if (summary.waitSeconds > Math.min(left, longestQuietSeconds)) return summary.waitSeconds
    await waitSeconds(Math.max(summary.waitSeconds, 0.01), stop)
    await renewLease(control, this.#lease, leaseSeconds)
    return 'go on'
  }

  /** Options as they are now, and this worker's share of a rate that all workers of the run keep together. */
  async #options(): Promise<RunOptions> {
    const { options } = this.#run
    // The residual check only reads: a rate is for what replicas and vacuum have to follow.
    if (options.maxRowsPerSecond === null || this.#lease.kind === 'residual')
      this.#share = { ...this.#share, rowsPerSecond: null }
    else if (performance.now() - this.#share.readAt > shareGoodForMs) {
      const leases = await countLeases(this.#deps.control, this.#run.id)
      this.#share = { rowsPerSecond: options.maxRowsPerSecond / Math.max(1, leases), readAt: performance.now() }
    }
    return options
  }

  /**
   * Waits for what the batch was too fast: by the run's own rate, and by the load that the database can bear; whichever asks
   * for more. A wait that would outlast the lease is returned, for the slot to be used by others. One for the load is not
   * longer than a slice: it may have grown by then, and whoever sits out a wait does not hear of it.
   */
  async #throttleDown(batch: BatchResult, stop: AbortSignal): Promise<number> {
    const limit = this.#run.options.maxRowsPerSecond
    const { share, cause } = this.#deps.pace.share(this.#run)
    const elapsed = (performance.now() - this.#lastBeganAt) / 1000
    const forRate = rateWait(batch.scanned, elapsed, this.#share.rowsPerSecond)
    const forLoad = Math.min(sliceSeconds, this.#duty.worked(batch.seconds, share))
    const wait = Math.max(forRate, forLoad)
    const since = this.#throttle?.since ?? new Date().toISOString()
    if (forRate > forLoad && limit !== null) {
      const value = Math.round(batch.scanned / elapsed)
      this.#throttle = { reason: 'maxRowsPerSecond is reached.', signal: 'rate', value, limit, since }
    } else this.#throttle = share < 1 && cause ? { ...cause, since } : null
    if (wait > longestQuietSeconds) return wait
    if (wait > 0) await this.#rest(wait, stop)
    return 0
  }

  async #rest(seconds: number, stop: AbortSignal): Promise<void> {
    const began = performance.now()
    const left = () => seconds - (performance.now() - began) / 1000
    // Whoever raises a limit does not want to see the old one waited for.
    while (left() > 0 && !stop.aborted && !this.#deps.pace.hasChanged(this.#run))
      await waitSeconds(Math.min(left(), longestDeafSeconds), stop)
    const rested = performance.now() - began
    this.#duty.rested(rested / 1000)
    this.#throttledMs += rested
    this.#deps.metrics.throttledSeconds.inc(
      { job: this.#run.job, signal: this.#throttle?.signal ?? 'start' },
      rested / 1000,
    )
  }
}
