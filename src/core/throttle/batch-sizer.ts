import type { RunOptions } from '../job/options.ts'

/** The result of one batch, from which the size follows. */
export interface BatchOutcome {
  /** Rows the window passed over. */
  readonly scanned: number
  /** Rows that were changed. */
  readonly done: number
  /** Execution and commit, without evenkeel's own waits. Seconds. */
  readonly seconds: number
}

const memory = 10
const growth = 1.3
const panicFactor = 5

/**
 * Chooses the size of the next window from the times of the last ones: size × target / p90 of the last ten. It grows at
 * most 1.3 times a step, and not at all after a batch that changed under half of its rows: a sparse stretch says
 * nothing about the dense one behind it. A batch of over five times the target divides the size by ten.
 */
export class BatchSizer {
  #size: number
  #costs: number[] = []
  /** The size is below the lower bound, because larger windows did not pass. */
  #turnedAway: boolean

  /** Starts from a size. It may be below the lower bound only if larger windows were turned away. */
  constructor(options: RunOptions, size?: number, turnedAway = false) {
    this.#size = size ?? batchSizeBounds(options).min
    this.#turnedAway = turnedAway
  }

  get turnedAway(): boolean {
    return this.#turnedAway
  }

  /** Rows for the next window under these options, which may have changed since the last one. */
  next(options: RunOptions): number {
    const { min, max } = batchSizeBounds(options)
    this.#size = clamp(this.#size, { min: this.#turnedAway ? 1 : min, max })
    return Math.round(this.#size)
  }

  /** Learns from a committed batch, given the time that it should take. */
  observe(outcome: BatchOutcome, options: RunOptions, target: number): void {
    if (outcome.seconds > panicFactor * target) {
      this.#costs = []
      this.#resize(this.#size / 10, options)
      return
    }
    if (outcome.scanned === 0) return
    // Kept per row, so that times of batches of different sizes are comparable.
    this.#costs = [...this.#costs.slice(1 - memory), outcome.seconds / outcome.scanned]
    const aim = target / percentile90(this.#costs)
    const mayGrow = this.#turnedAway || outcome.done * 2 >= outcome.scanned
    this.#resize(aim > this.#size && !mayGrow ? this.#size : Math.min(aim, this.#size * growth), options)
  }

  /**
   * Learns from a batch that was turned away (deadlock, lock timeout, statement timeout): half the size, same window
   * again. This overrides the lower bound and a fixed size: a window that never passes is worse than a small one.
   */
  shrink(): void {
    this.#size = Math.max(1, this.#size / 2)
    this.#turnedAway = true
  }

  #resize(size: number, options: RunOptions): void {
    const bounds = batchSizeBounds(options)
    // It grows back step by step, not at once to the size that was turned away.
    this.#size = this.#turnedAway ? Math.min(bounds.max, Math.max(1, size), this.#size * growth) : clamp(size, bounds)
    this.#turnedAway &&= this.#size < bounds.min
  }
}

/** Bounds of the window: a fixed size, or one that follows the batch time. */
export function batchSizeBounds(options: RunOptions): { readonly min: number; readonly max: number } {
  return typeof options.batchSize === 'number' ? { min: options.batchSize, max: options.batchSize } : options.batchSize
}

function clamp(size: number, { min, max }: { min: number; max: number }): number {
  return Math.min(max, Math.max(min, size))
}

function percentile90(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.ceil(sorted.length * 0.9) - 1] ?? 0
}

/** How long a batch should take, in seconds: fixed by the options, or within their bounds by the database's pace. */
export function targetBatchSeconds(options: RunOptions, paceSeconds: number): number {
  const target = options.targetBatchSeconds
  return typeof target === 'number' ? target : Math.min(target.max, Math.max(target.min, paceSeconds))
}

/** Timers are coarse for a batch of a millisecond: a shorter debt is carried over. Seconds. */
const minWaitSeconds = 0.002
/** The most that a worker may make up for after it was kept from working. Seconds. */
const maxCreditSeconds = 0.05

/**
 * Keeps one slot to its duty cycle, the fraction of its time that it may spend in statements. It owes the seconds of
 * statements that it has not rested for. It pays by resting, at the duty cycle that holds while it rests. Errors of
 * timers are carried over, so that the duty cycle is kept on average.
 */
export class DutyCycle {
  #owedSeconds = 0

  /** A statement took so long, whether or not it committed. */
  worked(seconds: number): void {
    this.#owedSeconds += seconds
  }

  /** How long the slot has to rest before its next statement, in seconds. */
  wait(share: number): number {
    const wait = this.#owedSeconds / paidEachSecond(share)
    return wait < minWaitSeconds ? 0 : wait
  }

  /** The slot has rested, or was otherwise idle, for so long. */
  rested(seconds: number, share: number): void {
    const each = paidEachSecond(share)
    // A duty cycle of 1 needs no rest, so nothing is owed.
    if (each === Number.POSITIVE_INFINITY) this.#owedSeconds = 0
    else this.#owedSeconds = Math.max(-maxCreditSeconds * each, this.#owedSeconds - seconds * each)
  }
}

/** Seconds of statements that a second of rest pays for. */
function paidEachSecond(share: number): number {
  return share < 1 ? share / (1 - share) : Number.POSITIVE_INFINITY
}
