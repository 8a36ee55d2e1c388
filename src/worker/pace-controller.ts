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
/** Long enough to be fast, short enough for whoever waits for a row of it. */
const unpacedTargetSeconds = 0.02
const noLimit = { soft: null, hard: null }
const stepSeconds = 0.95
const keptUpSeconds = 1

export interface PaceDeps {
  readonly control: Control
  readonly sampler: Sampler
  readonly log: Logger
  readonly metrics: Metrics
  /** Who writes holds: this process. */
  readonly name: string
  readonly timings: Timings
}

/** What one worker may do at this moment. */
export interface WorkShare {
  /** Of its time, the part that it may spend in batches: above 0, at most 1. */
  readonly share: number
  /** How long a batch should take where the options leave it open. */
  readonly targetSeconds: number
  readonly cause: PaceCause | null
}

/**
 * The pace as this process sees it: what holds a run, by its own sampler; and the load, which all processes share by one
 * row. Each second one of them, whichever comes first, makes the next step; there is no leader to lose.
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

  /** Ready once every signal has been looked at: before that, a run would be held for what is not known yet. */
  static async open(deps: PaceDeps): Promise<PaceController> {
    await deps.sampler.ready
    return new PaceController(deps, await readPace(deps.control))
  }

  /** What keeps a run from working, as far as this process can see. Asked before each batch. */
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

  /** Whether the options of a run are no longer those that this is a copy of. */
  hasChanged({ id, version }: Run): boolean {
    const newest = this.#live.find((run) => run.id === id)
    return newest !== undefined && newest.version > version
  }

  /** How many workers hold ranges of a run: at least the one that asks. */
  workersOf({ id }: Run): number {
    return Math.max(1, this.#workers.get(id) ?? 1)
  }

  /** One worker's share of the load. */
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

  /** What was measured last, the worst of the tables of live runs, with the strictest limits of those that may write. */
  measured(): Array<{ signal: SignalName; value: number | null; soft: number | null; hard: number | null }> {
    const now = this.#now()
    // What waits for its time, or stands still with everything, is not what writes over its limits.
    const runs = this.#live.filter(({ hold }) => hold?.signal !== 'schedule' && hold?.signal !== 'global-pause')
    const targets = runs.length > 0 ? runs.map((run) => run.target) : [undefined]
    const worst = new Map<SignalName, number | null>()
    for (const { signal, value } of targets.flatMap((target) => this.#deps.sampler.readings(target))) {
      const before = worst.get(signal)
      // What is unknown is worse than any value.
      if (before === undefined || value === null || (before !== null && value > before)) worst.set(signal, value)
    }
    const allHeld = runs.every(({ hold }) => hold)
    const limitsOf = (signal: SignalName) => {
      // Beside others that go on, a run that is held counts for what holds it alone: that is named, what else is over its limits is not.
      const counted = allHeld ? runs : runs.filter(({ hold }) => !hold || hold.signal === signal)
      const options = counted.map((run) => optionsInForce(run.options, run.overrides, now))
      return strictestLimit(signal, runs.length > 0 ? options : [defaultRunOptions]) ?? noLimit
    }
    return [...worst].map(([signal, value]) => ({ signal, value, ...limitsOf(signal) }))
  }

  /** Writes down what holds a run, and stops its batches in every process. */
  async hold(run: Run, hold: Hold): Promise<void> {
    const { control, log, name, timings } = this.#deps
    if (await holdRun(control, run.id, hold, name, timings.holdStaleSeconds))
      log.warn({ run: run.id, ...hold }, 'run is held')
  }

  /** Looks, steps and reviews until the signal says stop. `advance` hears when runs may have more workers than before. */
  async keep(stop: AbortSignal, advance: () => void): Promise<void> {
    while (!stop.aborted) {
      try {
        await this.#round(advance)
      } catch (error) {
        this.#deps.log.warn({ err: error }, 'pace could not be reviewed; it is tried again at once')
      }
      await waitSeconds(everySeconds, stop)
    }
  }

  /** By the database's clock: ours may be wrong, and several would open and close a schedule at different times. */
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

  /** Runs are reviewed whether or not the step succeeds: a hold must not wait for the pace. */
  async #tryStep(runs: readonly Run[], advance: () => void): Promise<void> {
    try {
      await this.#step(runs, advance)
    } catch (error) {
      this.#deps.log.warn({ err: error }, 'the pace could not be stepped; it stays as it is until it can be')
    }
  }

  async #tryReview(run: Run, roundSeconds: number, advance: () => void): Promise<void> {
    try {
      await this.#review(run, roundSeconds, advance)
    } catch (error) {
      this.#deps.log.warn({ err: error, run: run.id }, 'the run could not be reviewed; it is tried again at once')
    }
  }

  async #step(runs: readonly Run[], advance: () => void): Promise<void> {
    const { control, sampler, log } = this.#deps
    const { version, now, age, workers, pace } = this.#shared
    const at = new Date(now * 1000)
    const remembered = rememberedPace(pace, age)
    // The first step is made as soon as there is somebody to make it for, and not a second after one for nobody.
    if (remembered === initialPace && workers === 0) return
    const next = stepPace(remembered, {
      now,
      workers,
      options: runs.map((run) => optionsInForce(run.options, run.overrides, at)),
      // Each run's table has its own; the worst of them counts for the pace that all share.
      measured: runs.flatMap((run) => sampler.readings(run.target)),
    })
    if (!(await writePace(control, next, version))) return
    this.#shared = { ...this.#shared, pace: next }
    if (next.cause?.signal !== pace.cause?.signal)
      log.info({ concurrency: next.concurrency, cause: next.cause }, next.cause ? 'pace is limited' : 'pace is free')
    if (maxWorkersFor(next) > maxWorkersFor(pace)) advance()
  }

  /** Whether the run reads so already: kept up by this process within a second, or by another one that is not stale. */
  #isKeptUp({ hold: written }: Run, hold: Hold): boolean {
    if (!written || written.signal !== hold.signal) return false
    const seconds = Math.abs(this.#now().getTime() - Date.parse(written.seenAt)) / 1000
    const { name, timings } = this.#deps
    return seconds < (written.by === name ? keptUpSeconds : timings.holdStaleSeconds)
  }

  async #review(run: Run, roundSeconds: number, advance: () => void): Promise<void> {
    const { control, log, metrics, name, timings } = this.#deps
    const hold = this.holdOf(run)
    // Each held second is counted by one process only: the one that wrote the hold.
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
