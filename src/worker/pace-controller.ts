import { defaultRunOptions } from '../core/job/options.ts'
import { dutyCycleOf, initialPace, maxWorkersFor, rememberedPace, stepPace } from '../core/throttle/controller.ts'
import { evaluateHold, type Hold, optionsInForce } from '../core/throttle/hold.ts'
import { isPaced, strictestLimit } from '../core/throttle/limits.ts'
import type { PaceCause } from '../core/throttle/response.ts'
import type { SignalName } from '../core/throttle/signal.ts'
import type { Timings } from '../core/timings.ts'
import type { Sampler } from '../signals/sampler.ts'
import type { Control } from '../store/control.ts'
import { holdRun, releaseHold } from '../store/holds.ts'
import { countLeasesByRun } from '../store/leases.ts'
import { readPace, type SharedPace, writePace } from '../store/pace.ts'
import type { Run } from '../store/run.ts'
import { listWorkableRuns } from '../store/runs.ts'
import type { Logger } from '../telemetry/logger.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import { waitSeconds } from '../util/sleep.ts'

const everySeconds = 0.25
/** Long enough for speed, short enough for a session that waits for one of the rows. Seconds. */
const unpacedTargetSeconds = 0.02
const noLimit = { soft: null, hard: null }
const stepSeconds = 0.95
const keptUpSeconds = 1

export interface PaceDeps {
  readonly control: Control
  readonly sampler: Sampler
  readonly log: Logger
  readonly metrics: Metrics
  /** Name of this process, for the holds that it writes. */
  readonly name: string
  readonly timings: Timings
}

/** Limits of one worker at this moment. */
export interface WorkShare {
  /** Duty cycle: the part of its time that the worker may spend in batches. Above 0, at most 1. */
  readonly share: number
  /** Time that a batch should take if the options leave it open. Seconds. */
  readonly targetSeconds: number
  readonly cause: PaceCause | null
}

/**
 * The pace as seen by this process. Holds come from its own sampler. The concurrency is one row that all processes
 * share. Each second the first process to come makes the next step, so there is no leader that could be lost.
 */
export class PaceController {
  readonly #deps: PaceDeps
  #shared: SharedPace
  #sharedAt = performance.now()
  #live: readonly Run[] = []
  #workers: ReadonlyMap<string, number> = new Map()
  #roundAt = performance.now()

  private constructor(deps: PaceDeps, shared: SharedPace) {
    this.#deps = deps
    this.#shared = shared
  }

  /** Resolves when every signal has been sampled once. Before that a run would be held for unknown signals. */
  static async open(deps: PaceDeps): Promise<PaceController> {
    await deps.sampler.ready
    return new PaceController(deps, await readPace(deps.control))
  }

  /** What holds a run, as far as this process can see; null if nothing does. Asked before each batch. */
  holdOf({ options, overrides, hold, target }: Run): Hold | null {
    const now = this.#now()
    return evaluateHold({
      options: optionsInForce(options, overrides, now),
      heldBy: hold?.signal ?? null,
      measured: this.#deps.sampler.readings(target),
      globalPause: this.#shared.globalPause,
      now,
    })
  }

  /** Whether the options of a run have changed since this copy was read. */
  hasChanged({ id, version }: Run): boolean {
    const newest = this.#live.find((run) => run.id === id)
    return newest !== undefined && newest.version > version
  }

  /** Workers that hold ranges of a run. At least 1, the caller. */
  workersOf({ id }: Run): number {
    return Math.max(1, this.#workers.get(id) ?? 1)
  }

  /** One worker's part of the shared concurrency. */
  share({ options, overrides }: Run): WorkShare {
    const { pace, workers } = this.#shared
    if (!isPaced(optionsInForce(options, overrides, this.#now())))
      return { share: 1, targetSeconds: unpacedTargetSeconds, cause: null }
    return {
      share: dutyCycleOf(pace, workers),
      targetSeconds: pace.targetSeconds,
      cause: pace.cause,
    }
  }

  /**
   * The last sample of each signal, the worst of all live runs' tables, with the strictest limits of the runs that may
   * write.
   */
  measured(): Array<{ signal: SignalName; value: number | null; soft: number | null; hard: number | null }> {
    const now = this.#now()
    // A run held by its schedule or by the global pause does not write over its limits.
    const runs = this.#live.filter(({ hold }) => hold?.signal !== 'schedule' && hold?.signal !== 'global-pause')
    const targets = runs.length > 0 ? runs.map((run) => run.target) : [undefined]
    const worst = new Map<SignalName, number | null>()
    for (const { signal, value } of targets.flatMap((target) => this.#deps.sampler.readings(target))) {
      const before = worst.get(signal)
      // Unknown is worse than any value.
      if (before === undefined || value === null || (before !== null && value > before)) worst.set(signal, value)
    }
    const allHeld = runs.every(({ hold }) => hold)
    const limitsOf = (signal: SignalName) => {
      // Next to active runs, a held run counts only for the signal that holds it. Its other signals are not reported
      // against it.
      const counted = allHeld ? runs : runs.filter(({ hold }) => !hold || hold.signal === signal)
      const options = counted.map((run) => optionsInForce(run.options, run.overrides, now))
      return strictestLimit(signal, runs.length > 0 ? options : [defaultRunOptions]) ?? noLimit
    }
    return [...worst].map(([signal, value]) => ({ signal, value, ...limitsOf(signal) }))
  }

  /** Writes the hold of a run, which stops its batches in every process. */
  async hold(run: Run, hold: Hold): Promise<void> {
    const { control, log, name, timings } = this.#deps
    if (await holdRun(control, run.id, hold, name, timings.holdStaleSeconds))
      log.warn({ run: run.id, ...hold }, 'run is held')
  }

  /**
   * Samples, steps and reviews until `stop` is aborted. Calls `advance` when runs may have more workers than before.
   */
  async keep(stop: AbortSignal, advance: () => void): Promise<void> {
    while (!stop.aborted) {
      try {
        await this.#round(advance)
      } catch (error) {
        this.#deps.log.warn({ err: error }, 'cannot read the pace or the runs; it is tried again at once')
      }
      await waitSeconds(everySeconds, stop)
    }
  }

  /**
   * Time by the database's clock. The clocks of processes may be wrong, and would open and close a schedule at
   * different times.
   */
  #now(): Date {
    return new Date(this.#shared.now * 1000 + performance.now() - this.#sharedAt)
  }

  async #round(advance: () => void): Promise<void> {
    const now = performance.now()
    const roundSeconds = (now - this.#roundAt) / 1000
    this.#roundAt = now
    const { control, sampler } = this.#deps
    this.#shared = await readPace(control)
    this.#sharedAt = performance.now()
    const runs = await listWorkableRuns(control)
    this.#live = runs
    this.#workers = runs.length > 0 ? await countLeasesByRun(control) : new Map()
    await sampler.watch(runs.map((run) => run.target))
    if (runs.length > 0 && this.#shared.age >= stepSeconds) await this.#tryStep(runs, advance)
    for (const run of runs) await this.#tryReview(run, roundSeconds, advance)
  }

  /**
   * An error here is logged: runs must be reviewed even if the step fails, because a hold must not wait for the pace.
   */
  async #tryStep(runs: readonly Run[], advance: () => void): Promise<void> {
    try {
      await this.#step(runs, advance)
    } catch (error) {
      this.#deps.log.warn({ err: error }, 'cannot change the pace; it stays as it is until the next step')
    }
  }

  async #tryReview(run: Run, roundSeconds: number, advance: () => void): Promise<void> {
    try {
      await this.#review(run, roundSeconds, advance)
    } catch (error) {
      this.#deps.log.warn({ err: error, run: run.id }, 'cannot review the holds of the run; it is tried again at once')
    }
  }

  async #step(runs: readonly Run[], advance: () => void): Promise<void> {
    const { control, sampler, log } = this.#deps
    const { version, now, age, workers, pace } = this.#shared
    const at = new Date(now * 1000)
    const remembered = rememberedPace(pace, age)
    // The first step is made as soon as a worker holds a lease, and not a second after a step without workers.
    if (remembered === initialPace && workers === 0) return
    const next = stepPace(remembered, {
      now,
      workers,
      options: runs.map((run) => optionsInForce(run.options, run.overrides, at)),
      // Each run's table has readings of its own. The worst of them counts for the shared pace.
      measured: runs.flatMap((run) => sampler.readings(run.target)),
    })
    if (!(await writePace(control, next, version))) return
    this.#shared = { ...this.#shared, pace: next }
    if (next.cause?.signal !== pace.cause?.signal)
      log.info({ concurrency: next.concurrency, cause: next.cause }, next.cause ? 'pace is limited' : 'pace is free')
    if (maxWorkersFor(next) > maxWorkersFor(pace)) advance()
  }

  /**
   * Whether the run has this hold already, renewed by this process within a second or by another process that is not
   * stale.
   */
  #isKeptUp({ hold: written }: Run, hold: Hold): boolean {
    if (!written || written.signal !== hold.signal) return false
    const seconds = Math.abs(this.#now().getTime() - Date.parse(written.seenAt)) / 1000
    const { name, timings } = this.#deps
    return seconds < (written.by === name ? keptUpSeconds : timings.holdStaleSeconds)
  }

  async #review(run: Run, roundSeconds: number, advance: () => void): Promise<void> {
    const { control, log, metrics, name, timings } = this.#deps
    const hold = this.holdOf(run)
    // Only the process that wrote the hold counts its seconds, so each is counted once.
    if (run.hold?.by === name)
      metrics.throttledSeconds.inc({ job_name: run.job, signal: run.hold.signal }, roundSeconds)
    if (hold) return this.#isKeptUp(run, hold) ? undefined : this.hold(run, hold)
    if (!run.hold) return
    const ended = await releaseHold(control, run.id, name, timings.holdStaleSeconds)
    if (!ended) return
    log.info({ run: run.id, signal: ended.signal, since: ended.since }, 'run is no longer held')
    advance()
  }
}
