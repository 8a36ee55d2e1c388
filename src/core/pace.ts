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

  constructor(options: RunOptions, size?: number) {
    const { min } = boundsOf(options)
    this.#size = size ?? min
    this.#turnedAway = this.#size < min
  }

  /** Rows for the next window under these options, which may have changed since the last one. */
  next(options: RunOptions): number {
    const { min, max } = boundsOf(options)
    this.#size = clamp(this.#size, { min: this.#turnedAway ? 1 : min, max })
    return Math.round(this.#size)
  }

  /** Learns from a batch that committed. */
  observe(outcome: BatchOutcome, options: RunOptions): void {
    const target = options.targetBatchSeconds
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
