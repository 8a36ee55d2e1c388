/** How far a follower is behind its leader. */
export interface Lag {
  readonly ms: number
  /** False if its position lies before everything that was observed: then `ms` is the least it can be. */
  readonly exact: boolean
}

interface Mark {
  readonly at: number
  readonly position: bigint
}

/** Marks are no further apart than this fraction of their age, or than the observations were. */
const thinning = 0.02

/**
 * Tells how long ago a leader was where its follower is now, from observations of the leader alone. A follower that
 * stands still therefore lags more with every second, whatever it reports. One that has everything does not lag,
 * however long ago that was written.
 *
 * Positions are whole numbers that only grow: WAL in bytes, beats of a heartbeat. Times are milliseconds of one
 * monotonic clock. Old marks are thinned out, so that memory grows with the logarithm of the time. A lag is wrong by no
 * more than a fiftieth, or than the distance between two observations.
 */
export class LagTracker {
  #marks: Mark[] = []

  /** How many marks are kept. */
  get size(): number {
    return this.#marks.length
  }

  /** The leader was observed at a position. */
  observe(at: number, position: bigint): void {
    const last = this.#marks.at(-1)
    if (last && at <= last.at) return
    // The position went back: another server has taken over, or a backup was restored. Marks beyond it never happened.
    if (last && position < last.position) this.#marks = this.#marks.filter((mark) => mark.position <= position)
    this.#marks.push({ at, position })
    this.#thin(at)
  }

  /** The lag of a follower at a position, at a time. Null before the first observation. */
  lag(position: bigint, now: number): Lag | null {
    const [first] = this.#marks
    const last = this.#marks.at(-1)
    if (!first || !last) return null
    if (position >= last.position) return { ms: 0, exact: true }
    if (position < first.position) return { ms: Math.max(0, now - first.at), exact: false }
    return { ms: Math.max(0, now - this.#passed(position + 1n)), exact: true }
  }

  /** When the leader got to a position: between the last mark before it and the first that is not. */
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
