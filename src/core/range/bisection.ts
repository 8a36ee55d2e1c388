/**
 * Narrows windows down to the rows that fail by themselves.
 *
 * A window that failed is halved, again and again from the same cursor. Each half that passes is committed and done. So
 * a bad row costs about log2(rows) statements, however large the table is. After a row that was set aside, windows grow
 * back from twice the distance to the one before it: where bad rows lie close together, a full window would fail every
 * time.
 */
export class Bisection {
  /** How many rows behind the cursor hold one that fails; null while none is known to. */
  #suspects: number | null = null
  #most = Number.POSITIVE_INFINITY
  #clean = 0

  /** Rows for the next window, if the pace wants so many. */
  limit(wanted: number): number {
    if (this.#suspects === null) return Math.min(wanted, this.#most)
    return Math.max(1, Math.min(wanted, Math.floor(this.#suspects / 2)))
  }

  /** Whether bad rows limit the window at the moment. Its size then says nothing about the cost of a batch. */
  get narrowed(): boolean {
    return this.#suspects !== null || this.#most !== Number.POSITIVE_INFINITY
  }

  /** A window of at most so many rows failed on its data. */
  failed(limit: number): void {
    this.#suspects = limit
  }

  /** A window passed over so many rows. `wanted` is the size that it would have had. */
  passed(scanned: number, wanted: number): void {
    this.#clean += scanned
    this.#most = this.#most * 2 >= wanted ? Number.POSITIVE_INFINITY : this.#most * 2
    if (this.#suspects === null) return
    const left = this.#suspects - scanned
    // The row that failed is gone, or another session has repaired it.
    this.#suspects = left < 1 || scanned === 0 ? null : left
  }

  /** The row was passed over: set aside, or left for later. */
  passedOver(): void {
    this.#suspects = null
    // After such a row the next one is tried alone: bad rows often come together.
    this.#most = Math.max(1, 2 * this.#clean)
    this.#clean = 0
  }
}
