import type { RunOptions } from '../job/options.ts'

/** What one batch did, as its size is judged by. */
export interface BatchOutcome {
  /** Rows the window passed over. */
  readonly scanned: number
  /** Rows that were changed. */
  readonly done: number
  /** Execution and commit, without any waiting of our own. Seconds. */
  readonly seconds: number
}

const memory = 10
const growth = 1.3
const panicFactor = 5

/**
 * How large the next window is, by how long the last ones took: size × target / p90 of the last ten.
 * It grows at most 1.3 times a step, and not at all after a batch that changed under half of its rows: a sparse stretch
 * says nothing about the dense one behind it. A batch of over five times the target divides the size by ten.
 */
export class BatchSizer {
  #size: number
  #costs: number[] = []
  /** Below the lower bound, because larger windows did not pass. */
  #turnedAway: boolean

  /** Goes on from a size; below the lower bound only where that is because larger windows were turned away. */
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

  /** Learns from a batch that committed, under the time that one should take. */
  observe(outcome: BatchOutcome, options: RunOptions, target: number): void {
    if (outcome.seconds > panicFactor * target) {
      this.#costs = []
      this.#resize(this.#size / 10, options)
      return
    }
    if (outcome.scanned === 0) return
    // Kept per row, so that times of batches of other sizes stay comparable.
    this.#costs = [...this.#costs.slice(1 - memory), outcome.seconds / outcome.scanned]
    const aim = target / percentile90(this.#costs)
    const mayGrow = this.#turnedAway || outcome.done * 2 >= outcome.scanned
    this.#resize(aim > this.#size && !mayGrow ? this.#size : Math.min(aim, this.#size * growth), options)
  }

  /**
   * Learns from a batch that was turned away (deadlock, lock timeout, statement timeout): half, same window again. Here the
   * lower bound does not hold, nor a fixed size: a window that never passes is worse than a small one.
   */
  shrink(): void {
    this.#size = Math.max(1, this.#size / 2)
    this.#turnedAway = true
  }

  #resize(size: number, options: RunOptions): void {
    const bounds = batchSizeBounds(options)
    // It comes back step by step, not at once to what was turned away.
    this.#size = this.#turnedAway ? Math.min(bounds.max, Math.max(1, size), this.#size * growth) : clamp(size, bounds)
    this.#turnedAway &&= this.#size < bounds.min
  }
}

/** Bounds of the window, of a fixed size or of one that follows the batch time. */
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

/** How long a batch should take, in seconds: as the options fix it, or within their bounds as the pace of the database has it. */
export function targetBatchSeconds(options: RunOptions, paceSeconds: number): number {
  const target = options.targetBatchSeconds
  return typeof target === 'number' ? target : Math.min(target.max, Math.max(target.min, paceSeconds))
}

/** Timers are coarse beside a batch of a millisecond: a debt of less than this is carried over. Seconds. */
const minWaitSeconds = 0.002
/** What a worker that was kept from working may make up for at most. Seconds. */
const maxCreditSeconds = 0.05

/**
 * Keeps one slot to its share of the load: of its time, that part may be spent in statements. It owes the statements that it
 * has not rested for, in seconds of theirs, and pays by resting at the share that holds while it rests. What timers make too
 * long or too short is carried over, so that the share is kept on average.
 */
export class DutyCycle {
  #owedSeconds = 0

  /** A statement took so long, whether or not it committed. */
  worked(seconds: number): void {
    this.#owedSeconds += seconds
  }

  /** How long it has to rest before its next statement, in seconds. */
  wait(share: number): number {
    const wait = this.#owedSeconds / paidEachSecond(share)
    return wait < minWaitSeconds ? 0 : wait
  }

  /** It has rested, or was idle otherwise, for so long. */
  rested(seconds: number, share: number): void {
    const each = paidEachSecond(share)
    // All of it is no rest at all: then nothing is owed either.
    if (each === Number.POSITIVE_INFINITY) this.#owedSeconds = 0
    else this.#owedSeconds = Math.max(-maxCreditSeconds * each, this.#owedSeconds - seconds * each)
  }
}

/** Seconds of statements that a second of rest is worth. */
function paidEachSecond(share: number): number {
  return share < 1 ? share / (1 - share) : Number.POSITIVE_INFINITY
}
