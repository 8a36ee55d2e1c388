/** How far one that follows is behind. */
export interface Lag {
  readonly ms: number
  /** False where the place it has got to lies before everything that was observed: then `ms` is the least it can be. */
  readonly exact: boolean
}

interface Mark {
  readonly at: number
  readonly position: bigint
}

/** Marks stand no further apart than this part of their age, or than they were observed. */
const thinning = 0.02

/**
 * How long ago one that is followed was where a follower is now, from looks at the one that is followed alone. A follower
 * that stands still therefore lags more with every second, whatever it says of itself, and one that has everything does
 * not lag, however long ago that was written.
 *
 * Positions are whole numbers that only grow: WAL in bytes, beats of a heartbeat. Times are in milliseconds of one
 * monotonic clock. Old marks are thinned out, so that what is kept grows with the logarithm of the time, and a lag is
 * wrong by no more than a fiftieth or the distance between two looks.
 */
export class LagTracker {
  #marks: Mark[] = []

  /** How many marks are kept. */
  get size(): number {
    return this.#marks.length
  }

  /** The one that is followed was seen at a position. */
  observe(at: number, position: bigint): void {
    const last = this.#marks.at(-1)
    if (last && at <= last.at) return
    // Further back than before: another server has taken over, or a backup was restored. What lay beyond never was.
    if (last && position < last.position) this.#marks = this.#marks.filter((mark) => mark.position <= position)
    this.#marks.push({ at, position })
    this.#thin(at)
  }

  /** The lag at a time of a follower that has got to a position. Null before the first look. */
  lag(position: bigint, now: number): Lag | null {
    const [first] = this.#marks
    const last = this.#marks.at(-1)
    if (!first || !last) return null
    if (position >= last.position) return { ms: 0, exact: true }
    if (position < first.position) return { ms: Math.max(0, now - first.at), exact: false }
    return { ms: Math.max(0, now - this.#passed(position + 1n)), exact: true }
  }

  /** When the one that is followed got to a position: between the last mark before it and the first that is not. */
  #passed(position: bigint): number {
    let low = 0
    let high = this.#marks.length - 1
    while (high - low > 1) {
      const middle = (low + high) >> 1
      if ((this.#marks[middle] as Mark).position >= position) high = middle
      else low = middle
    }
    const [before, after] = [this.#marks[low] as Mark, this.#marks[high] as Mark]
    const share = Number(position - before.position) / Number(after.position - before.position)
    return before.at + share * (after.at - before.at)
  }

  #thin(now: number): void {
    const kept: Mark[] = []
    for (const [index, mark] of this.#marks.entries()) {
      const previous = kept.at(-1)
      const next = this.#marks[index + 1]
      if (!previous || !next || next.at - previous.at > thinning * (now - next.at)) kept.push(mark)
    }
    this.#marks = kept
  }
}
