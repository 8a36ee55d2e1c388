import type { RunOptions } from './options.ts'

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
    this.#size = size ?? boundsOf(options).min
    this.#turnedAway = turnedAway
  }

  get turnedAway(): boolean {
    return this.#turnedAway
  }

  /** Rows for the next window under these options, which may have changed since the last one. */
  next(options: RunOptions): number {
    const { min, max } = boundsOf(options)
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
    const bounds = boundsOf(options)
    // It comes back step by step, not at once to what was turned away.
    this.#size = this.#turnedAway ? Math.min(bounds.max, Math.max(1, size), this.#size * growth) : clamp(size, bounds)
    this.#turnedAway &&= this.#size < bounds.min
  }
}

/**
 * The wait before the next batch that keeps one worker at its share of a rate, in seconds.
 * `rows` were passed over in the batch that began `elapsed` seconds ago.
 */
export function rateWait(rows: number, elapsed: number, rowsPerSecond: number | null): number {
  return rowsPerSecond === null ? 0 : Math.max(0, rows / rowsPerSecond - elapsed)
}

/** A window small enough to be worth at most a second of the rate: a low rate is many small steps, not one and a long wait. */
export function rateSize(size: number, rowsPerSecond: number | null): number {
  return rowsPerSecond === null ? size : Math.max(1, Math.min(size, Math.floor(rowsPerSecond)))
}

/** Bounds of the window, of a fixed size or of one that follows the batch time. */
export function boundsOf(options: RunOptions): { readonly min: number; readonly max: number } {
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
export function targetOf(options: RunOptions, paceSeconds: number): number {
  const target = options.targetBatchSeconds
  return typeof target === 'number' ? target : Math.min(target.max, Math.max(target.min, paceSeconds))
}

/** Timers are coarse beside a batch of a millisecond: a debt of less than this is carried over. Seconds. */
const leastWaitSeconds = 0.002
/** What a worker that was kept from working may make up for at most. Seconds. */
const mostCreditSeconds = 0.05

/**
 * Keeps one worker to its share of the load: after b seconds in a batch it owes b × (1 / share - 1) of waiting. What
 * timers make too long or too short is carried over, so that the share is kept on average.
 */
export class Duty {
  #owedSeconds = 0

  /** A batch took so long; returns how long to wait now, in seconds. */
  worked(seconds: number, share: number): number {
    this.#owedSeconds += seconds * (1 / share - 1)
    return this.#owedSeconds < leastWaitSeconds ? 0 : this.#owedSeconds
  }

  /** It has waited, or was idle otherwise, for so long. */
  rested(seconds: number): void {
    this.#owedSeconds = Math.max(-mostCreditSeconds, this.#owedSeconds - seconds)
  }
}
