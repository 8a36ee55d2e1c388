/**
 * Narrows windows down to the rows that fail by themselves.
 *
 * A window that failed is halved, again and again from the same cursor; each half that passes is committed and done with. So
 * a bad row costs about log2(rows) statements, however large the table is. Behind a row that was set aside windows grow back from
 * twice the distance to the one before it: where bad rows lie close together a full window would fail every time.
 */
export class Bisection {
  /** One of so many rows behind the cursor fails; null while none is known to. */
  #suspects: number | null = null
  #most = Number.POSITIVE_INFINITY
  #clean = 0

  /** Rows for the next window, where pace would have it so large. */
  limit(wanted: number): number {
    if (this.#suspects === null) return Math.min(wanted, this.#most)
    return Math.max(1, Math.min(wanted, Math.floor(this.#suspects / 2)))
  }

  /** Whether the size of windows is ruled by bad rows at this moment, and says nothing of what a batch costs. */
  get narrowed(): boolean {
    return this.#suspects !== null || this.#most !== Number.POSITIVE_INFINITY
  }

  /** A window of at most so many rows failed on its data. */
  failed(limit: number): void {
    this.#suspects = limit
  }

  /** A window went through that passed over so many rows; `wanted` is how large it would have been. */
  passed(scanned: number, wanted: number): void {
    this.#clean += scanned
    this.#most = this.#most * 2 >= wanted ? Number.POSITIVE_INFINITY : this.#most * 2
    if (this.#suspects === null) return
    const left = this.#suspects - scanned
    // It is not there any more, or somebody has mended it.
    this.#suspects = left < 1 || scanned === 0 ? null : left
  }

  /** The row was passed over: set aside, or left for later. */
  passedOver(): void {
    this.#suspects = null
    // Behind one such row the next is tried alone: they often come together.
    this.#most = Math.max(1, 2 * this.#clean)
    this.#clean = 0
  }
}
