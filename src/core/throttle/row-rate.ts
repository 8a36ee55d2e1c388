/** How many seconds of its rate a run draws at once, all its workers together; and what it may make up for after a delay. */
const portionSeconds = 0.25
/** Limits of what a clock and a floating point number can tell apart. */
const slowest = 1e-9
const fastest = 1e12

/** The rate of a run as its workers draw from it. */
export interface RowRate {
  readonly rowsPerSecond: number
  /** The most that may have gathered unused. */
  readonly burst: number
  /** What one worker draws at once, and the largest window it makes. */
  readonly portion: number
}

/** How workers, so many at once, draw rows under `maxRowsPerSecond`: a low rate is many small windows, not one and a long wait. */
export function rowRate(maxRowsPerSecond: number, parallelism: number): RowRate {
  const rowsPerSecond = Math.min(fastest, Math.max(slowest, maxRowsPerSecond))
  const burst = Math.max(1, rowsPerSecond * portionSeconds)
  return { rowsPerSecond, burst, portion: Math.max(1, Math.floor(burst / parallelism)) }
}

/** The rows that one worker has drawn and not used yet. */
export class DrawnRows {
  #rows = 0

  /** Rows for the next window, where it would be so large; 0 where a portion must be drawn before it. */
  window(size: number, portion: number): number {
    const wanted = Math.min(size, portion)
    return this.#rows >= wanted ? Math.min(size, this.#rows) : 0
  }

  draw(rows: number): void {
    this.#rows += rows
  }

  /** A window has used so many, whether or not it was committed. */
  use(rows: number): void {
    this.#rows = Math.max(0, this.#rows - rows)
  }

  /** Gives up what is left; returns how many that are. */
  giveBack(): number {
    const left = this.#rows
    this.#rows = 0
    return left
  }
}
