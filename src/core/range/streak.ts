/** After so many rows that fail alone with one error, and none that passes between them, the rows are not at fault. */
const maxAlike = 5
/** Rows that wait for locks often lie together, like the children of one parent. Each costs little. */
const maxWaiting = 64
/**
 * After waits that let no row pass, as many rows are tried as there were waits, up to this number; for locks a
 * multiple.
 */
const maxRetried = 16
const waitingPerAttempt = 8

/**
 * Tells trouble that all rows meet alike from trouble of single rows: rows fail alone, one after the other, with the
 * same error.
 */
export class Streak {
  /** Waits in a row so far after which no row passed. */
  readonly #attempts: number
  #anyPassed = false
  #name = ''
  #length = 0
  #verdict: unknown = null

  constructor(attempts: number) {
    this.#attempts = attempts
  }

  get length(): number {
    return this.#length
  }

  /** The error that is not due to single rows, once it is known. */
  get verdict(): unknown {
    return this.#verdict
  }

  /** A row failed alone with an error of this name, or waited for a lock. */
  failed(error: unknown, name: string, waited: boolean): void {
    this.#length = name === this.#name ? this.#length + 1 : 1
    this.#name = name
    if (this.#length >= this.#most(waited)) this.#verdict = error
  }

  /** A row passed. */
  passed(): void {
    this.#anyPassed = true
    this.#length = 0
    this.#name = ''
  }

  #most(waited: boolean): number {
    if (this.#attempts === 0 || this.#anyPassed) return waited ? maxWaiting : maxAlike
    return Math.min(maxRetried, this.#attempts) * (waited ? waitingPerAttempt : 1)
  }
}
