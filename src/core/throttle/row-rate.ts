/** Seconds of its rate that all workers of a run draw at once; also the most that it may make up for after a delay. */
const portionSeconds = 0.25
/** Limits of what a clock and a floating point number can tell apart. */
const slowest = 1e-9
const fastest = 1e12

/** The rate of a run, from which its workers draw. */
export interface RowRate {
  readonly rowsPerSecond: number
  /** The most that may gather unused. */
  readonly burst: number
  /** What one worker draws at once; also its largest window. */
  readonly portion: number
}

/**
 * How so many workers draw rows under `maxRowsPerSecond`: a low rate means many small windows, not one and a long wait.
 */
export function rowRate(maxRowsPerSecond: number, parallelism: number): RowRate {
  const rowsPerSecond = Math.min(fastest, Math.max(slowest, maxRowsPerSecond))
  const burst = Math.max(1, rowsPerSecond * portionSeconds)
  return { rowsPerSecond, burst, portion: Math.max(1, Math.floor(burst / parallelism)) }
}

/** The rows that one worker has drawn and not used yet. */
export class DrawnRows {
  #rows = 0

  /** Rows for the next window, if it would be so large; 0 if a portion must be drawn first. */
  window(size: number, portion: number): number {
    const wanted = Math.min(size, portion)
    return this.#rows >= wanted ? Math.min(size, this.#rows) : 0
  }

  draw(rows: number): void {
    this.#rows += rows
  }

  /** A window has used so many rows, whether or not it committed. */
  use(rows: number): void {
    this.#rows = Math.max(0, this.#rows - rows)
  }

  /** Gives up the rows that are left, and returns their number. */
  giveBack(): number {
    const left = this.#rows
    this.#rows = 0
    return left
  }
}
