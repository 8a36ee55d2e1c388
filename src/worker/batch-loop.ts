import type { PoolClient } from 'pg'
import { backoffSeconds, windowBackoff } from '../core/backoff.ts'
import { Problem } from '../core/errors.ts'
import { classifyError, endsItsSession, type Fault, isOverdue, recoveryFrom } from '../core/fault.ts'
import type { RunOptions } from '../core/job/options.ts'
import type { Cursor } from '../core/range/key.ts'
import { isCheck, phases } from '../core/range/phase.ts'
import { endlessReason } from '../core/run/endless.ts'
import { BatchSizer, targetBatchSeconds } from '../core/throttle/batch-sizer.ts'
import { type BatchInput, type BatchResult, maxBatchTime } from '../engine/batch/batch.ts'
import type { BatchRunner, Look, ResolvedJob } from '../engine/kinds/kind.ts'
import { countLeasesBefore, type Lease, type Release, renewLease } from '../store/leases.ts'
import type { Run } from '../store/run.ts'
import { findRun } from '../store/runs.ts'
import type { Logger } from '../telemetry/logger.ts'
import { waitSeconds } from '../util/sleep.ts'
import type { WorkerDeps } from './deps.ts'
import type { WorkerLimiter } from './limiter.ts'
import { LockWatch } from './lock-watch.ts'
import { RangeSplitter } from './range-splitter.ts'
import { NoRowPasses, PoisonRowIsolator } from './row-isolator.ts'
import { Sweep } from './sweep.ts'

const triesOnOneWindow = 5
/** Leases in a row that ended with such tries only, before the row is taken to fail by itself. */
const leasesForOneRow = 3

/** Batches of a slice that ended in a fault, by kind of fault. */
export type Faults = Partial<Record<Fault, number>>

/**
 * How a window ended: committed; its one row set aside or left for later; narrowed down; or not begun, for now or under
 * this lease.
 */
type Outcome =
  | { readonly kind: 'committed' | 'set-aside' | 'left'; readonly result: BatchResult }
  | { readonly kind: 'later'; readonly seconds: number }
  | { readonly kind: 'narrowed' }
  | { readonly kind: 'interrupted' }
  | { readonly kind: 'fenced' }

/** The batches of one lease. */
export class BatchLoop {
  readonly #deps: WorkerDeps
  readonly #lease: Lease
  readonly #client: PoolClient
  readonly #log: Logger
  readonly #runner: BatchRunner
  readonly #sizer: BatchSizer
  readonly #endsAt: number
  #run: Run
  #cursor: Cursor | null
  #upper: Cursor | null
  readonly #brake: WorkerLimiter
  readonly #splitter: RangeSplitter
  readonly #isolation: PoisonRowIsolator
  readonly #watch: LockWatch
  readonly #faults: Faults
  readonly #sums = { batches: 0, scanned: 0, done: 0, left: 0, quarantined: 0 }
  readonly #sweep: Sweep
  #hasCommitted = false
  #leaseAt = performance.now()

  constructor(
    deps: WorkerDeps,
    run: Run,
    job: ResolvedJob,
    lease: Lease,
    client: PoolClient,
    brake: WorkerLimiter,
    log: Logger,
    faults: Faults,
  ) {
    this.#deps = deps
    this.#endsAt = performance.now() + deps.timings.sliceSeconds * 1000
    this.#run = run
    this.#lease = lease
    this.#client = client
    this.#log = log
    this.#faults = faults
    this.#cursor = lease.cursor
    this.#upper = lease.upper
    this.#runner = job.open({ s: deps.control.s, target: run.target, leaf: lease.leaf })
    this.#splitter = new RangeSplitter(deps, run, lease, client, log)
    this.#brake = brake
    this.#watch = new LockWatch(deps.control, client, log)
    this.#isolation = new PoisonRowIsolator(deps.control, lease, client, this.#watch)
    this.#sweep = new Sweep(deps.control, this.#watch)
    this.#sizer = new BatchSizer(run.options, lease.batchSize ?? undefined, lease.turnedAway)
  }

  /** Rows for the next window, and whether it is this small because larger windows failed. */
  get size(): { readonly batchSize: number; readonly turnedAway: boolean } {
    const batchSize = this.#isolation.limit(this.#sizer.next(this.#run.options))
    return { batchSize, turnedAway: this.#sizer.turnedAway || this.#isolation.narrowed }
  }

  /** Whether a batch under this lease is known to have committed and did more than leave a row for later. */
  get hasCommitted(): boolean {
    return this.#hasCommitted
  }

  /** Whether a row was changed under this lease. */
  get hasPassed(): boolean {
    return this.#sums.done > 0
  }

  /** Whether an error ended the session. */
  get sessionEnded(): boolean {
    return this.#isolation.sessionEnded
  }

  /**
   * Works until the range ends, the slice is over, the fence shuts or `stop` is aborted. Throws the errors of Postgres.
   */
  async work(stop: AbortSignal): Promise<Release> {
    try {
      const wakeAfterSeconds = await this.#batches(stop)
      return { wakeAfterSeconds, attempts: 0, throttledMs: 0, throttle: null, ...this.size }
    } finally {
      await this.#brake.giveBack()
      if (this.#sums.batches > 0)
        this.#log.info({ phase: this.#lease.phase, ...this.#sums, cursor: this.#cursor }, 'slice worked')
    }
  }

  /** Whether the slot has to rest before the range goes to the next worker. */
  get owes(): boolean {
    return this.#brake.owes(this.#run)
  }

  /**
   * Rests for the cost of this lease's statements and keeps the lease meanwhile, so that the run has no more workers
   * than allowed. Returns early if the run may not be worked on, or if the lease is lost.
   */
  async settle(stop: AbortSignal): Promise<void> {
    for (;;) {
      const paid = await this.#brake.pay(this.#run, () => this.#keepLease(), stop)
      if (paid !== 'interrupted' || stop.aborted || this.#deps.pace.holdOf(this.#run)) return
      await this.#readAgain()
    }
  }

  /** Returns the seconds until the range wants its next ticket. */
  async #batches(stop: AbortSignal): Promise<number> {
    // A streak may outlast the slice: if every slice began a new one, none would reach a verdict.
    const streakEndsAt = this.#endsAt + this.#deps.timings.sliceSeconds * 1000
    while (!stop.aborted && performance.now() < (this.#isolation.inStreak ? streakEndsAt : this.#endsAt)) {
      const hold = this.#deps.pace.holdOf(this.#run)
      if (hold) {
        await this.#deps.pace.hold(this.#run, hold)
        break
      }
      await this.#deps.observe?.('batch')
      const { options } = this.#run
      const outcome = await this.#batch(options, stop)
      if (outcome.kind === 'later') return outcome.seconds
      if (outcome.kind === 'narrowed') continue
      if (outcome.kind === 'interrupted') {
        if (await this.#isTooMany()) break
        continue
      }
      if (outcome.kind === 'fenced') {
        this.#deps.metrics.leasesLost.inc({ job_name: this.#run.job })
        this.#log.info('fence shut: the run was stopped or is held, or another worker has the range')
        break
      }
      const { result } = outcome
      await this.#learn(result, options, outcome.kind)
      if (result.ended || (result.version !== this.#run.version && (await this.#isTooMany()))) break
      if (this.#isolation.sessionEnded) break
      if (this.#isolation.blockedBy) throw new NoRowPasses(this.#isolation.blockedBy, this.#watch.wait?.words ?? null)
      if (phases[this.#lease.phase].over === 'stragglers') {
        const wait = await this.#sweepOn(result, stop)
        if (wait !== 'go on') return wait
      }
      await this.#giveAway()
    }
    return 0
  }

  /**
   * Runs one batch. If it is turned away, tries the same window again with half the rows. If it fails on its data,
   * narrows it down to the row.
   */
  async #batch(options: RunOptions, stop: AbortSignal): Promise<Outcome> {
    for (let attempt = 1; ; attempt += 1) {
      const leave = await this.#brake.wait(this.#run, this.#sizer.next(options), () => this.#keepLease(), stop)
      if (leave.kind === 'lost') return { kind: 'fenced' }
      if (leave.kind !== 'window') return leave
      const wanted = leave.rows
      const limit = this.#isolation.limit(wanted)
      const began = performance.now()
      const input = this.#input(limit)
      const committed = (result: BatchResult): BatchResult => {
        this.#leaseAt = performance.now()
        this.#brake.counted()
        return result
      }
      try {
        const work = () => this.#runner.run(this.#client, this.#lease.phase, input, this.#look(limit))
        const result = await this.#isolation.run(this.#run.target, input, wanted, work)
        this.#brake.charge(result?.scanned ?? 0, result?.seconds ?? 0)
        if (!result) return { kind: 'fenced' }
        return { kind: 'committed', result: committed(result) }
      } catch (error) {
        // A failed batch costs the database as much as one that commits.
        this.#brake.charge(limit, (performance.now() - began) / 1000)
        const answer = recoveryFrom(error)
        if (isOverdue(error)) await this.#watch.endSession()
        if (
          answer === 'bisect' ||
          answer === 'leave' ||
          (answer === 'halve' && this.#isHopeless(error, limit, attempt))
        ) {
          this.#count(error)
          const isolated = await this.#isolation.failed(error, input, this.#run)
          if (isolated.kind === 'fenced') return isolated
          if (isolated.kind !== 'narrowed') return { kind: isolated.kind, result: committed(isolated.result) }
          return (await this.#keepLease()) ? { kind: 'narrowed' } : { kind: 'fenced' }
        }
        if (answer === 'halve') this.#sizer.shrink()
        if (answer !== 'halve' || endsItsSession(error) || attempt >= triesOnOneWindow || stop.aborted) throw error
        this.#count(error)
        this.#log.info({ err: error }, 'batch turned away; the same window is tried again with half the rows')
        const seconds = backoffSeconds(windowBackoff, attempt - 1, Math.random())
        await waitSeconds(seconds, stop)
        this.#brake.idled(this.#run, seconds)
        if (!(await this.#keepLease())) return { kind: 'fenced' }
      }
    }
  }

  /**
   * Whether one row was turned away in every try of several leases in a row. Such a row fails by itself, even if its
   * values are not the cause, and would block all rows behind it for ever. If Postgres itself is slow, passing over the
   * row fails, too.
   */
  #isHopeless(error: unknown, limit: number, attempt: number): boolean {
    const givenUp = attempt >= triesOnOneWindow || endsItsSession(error)
    return limit === 1 && givenUp && this.#lease.attempts >= leasesForOneRow - 1
  }

  /**
   * A failed batch has not renewed the lease. The new lease also keeps the size, so that the next worker does not begin
   * with as many rows.
   */
  async #keepLease(): Promise<boolean> {
    const { leaseSeconds, maxQuietSeconds } = this.#deps.timings
    if (performance.now() - this.#leaseAt < maxQuietSeconds * 1000) return true
    this.#leaseAt = performance.now()
    return renewLease(this.#deps.control, this.#lease, leaseSeconds, this.size)
  }

  #input(limit: number): BatchInput {
    return {
      runId: this.#lease.runId,
      ordinal: this.#lease.ordinal,
      epoch: this.#lease.epoch,
      cursor: this.#cursor,
      upper: this.#upper,
      limit,
      leaseSeconds: this.#deps.timings.leaseSeconds,
      throttledMs: this.#brake.throttledMs,
      withinSeconds: maxBatchTime.driver * this.#deps.timings.statementSeconds,
    }
  }

  #count(error: unknown): void {
    const fault = classifyError(error)
    this.#faults[fault] = (this.#faults[fault] ?? 0) + 1
    this.#deps.metrics.batchFaults.inc({ job_name: this.#run.job, fault })
  }

  /** Whether batches of this phase pass over rows for the first time. */
  get #passesKeys(): boolean {
    const { over, changes } = phases[this.#lease.phase]
    return over === 'keys' && changes
  }

  #look(limit: number): Look {
    return { wide: this.#sweep.wide && limit > 1 && !this.#isolation.narrowed }
  }

  async #learn(result: BatchResult, options: RunOptions, kind: 'committed' | 'set-aside' | 'left'): Promise<void> {
    const { metrics } = this.#deps
    const { job } = this.#run
    this.#cursor = result.cursor
    this.#sums.batches += 1
    for (const count of ['scanned', 'done', 'left'] as const) this.#sums[count] += result[count]
    if (kind === 'left') {
      metrics.rows.inc({ job_name: job, outcome: 'straggler' }, this.#passesKeys ? 1 : 0)
      this.#log.debug({ cursor: this.#cursor }, 'row left for later')
      return
    }
    this.#hasCommitted = true
    if (kind === 'set-aside') {
      this.#sums.quarantined += 1
      metrics.rows.inc({ job_name: job, outcome: 'quarantined' })
      this.#log.debug({ cursor: this.#cursor }, 'row set aside')
      return
    }
    if (!isCheck(this.#lease.phase)) {
      metrics.rows.inc({ job_name: job, outcome: 'done' }, result.done)
      metrics.rows.inc({ job_name: job, outcome: 'straggler' }, this.#passesKeys ? result.left : 0)
      metrics.rows.inc({ job_name: job, outcome: 'unmatched' }, this.#passesKeys ? result.scanned - result.matched : 0)
      metrics.rows.inc({ job_name: job, outcome: 'gone' }, result.gone)
    }
    metrics.batchSeconds.observe({ job_name: job }, result.seconds)
    // A check only reads, so its time says nothing about the cost of changing a row.
    const done = isCheck(this.#lease.phase) ? result.scanned : result.done
    const target = targetBatchSeconds(options, this.#deps.pace.share(this.#run).targetSeconds)
    // The same is true of a batch that found most of its stragglers held.
    if (!this.#isolation.narrowed && !(phases[this.#lease.phase].over === 'stragglers' && result.left > result.scanned))
      this.#sizer.observe({ scanned: result.scanned, done, seconds: result.seconds }, options, target)
    metrics.batchRows.observe({ job_name: job }, result.scanned)
    this.#log.debug({ ...result }, 'batch')
    if (result.still.length > 0) await this.#refuseEndless(result.still)
  }

  /** Reads the run again. Keeps the table as this lease has found it. */
  async #readAgain(): Promise<void> {
    const { target } = this.#run
    this.#run = { ...((await findRun(this.#deps.control, this.#run.id)) ?? this.#run), target }
  }

  /** Reads the changed options. True if they leave no room for this worker. */
  async #isTooMany(): Promise<boolean> {
    await this.#readAgain()
    return (await countLeasesBefore(this.#deps.control, this.#lease)) >= this.#run.options.parallelism
  }

  /** Splits the rest of the range if other workers of the run would be idle. */
  async #giveAway(): Promise<void> {
    const began = performance.now()
    this.#upper = await this.#splitter.split({
      cursor: this.#cursor,
      upper: this.#upper,
      scanned: this.#sums.scanned,
      parallelism: this.#run.options.parallelism,
      ...this.size,
    })
    this.#brake.charge(0, (performance.now() - began) / 1000)
  }

  /** If `set` does not make the predicate false, the same rows would come back for ever. */
  async #refuseEndless(keys: readonly Cursor[]): Promise<void> {
    if (!(await this.#runner.stillMatch(this.#client, keys))) return
    throw new Problem('conflict', `${endlessReason(keys[0] ?? [])} The batches so far are committed.`, { keys })
  }

  /** Ends a batch of stragglers: waits within the slice, or returns the seconds for which to give the range back. */
  async #sweepOn(result: BatchResult, stop: AbortSignal): Promise<number | 'go on'> {
    const { control, timings } = this.#deps
    const seconds = await this.#sweep.passed(result, this.#run)
    if (seconds === null) return 0
    const leftOfSlice = (this.#endsAt - performance.now()) / 1000
    if (seconds > Math.min(leftOfSlice, timings.maxQuietSeconds)) return seconds
    if (seconds === 0) return 'go on'
    await waitSeconds(seconds, stop)
    this.#brake.idled(this.#run, seconds)
    await renewLease(control, this.#lease, timings.leaseSeconds, this.size)
    return 'go on'
  }
}
