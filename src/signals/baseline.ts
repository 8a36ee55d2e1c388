import { median } from '../core/statistics.ts'

/** Milliseconds. */
const recent = 3000
const bucket = 1000
const memory = 10 * 60_000
/** Below this a commit is memory and luck, and many times of it is still nothing. */
const least = 0.2

/**
 * What a tiny transaction takes now, and what it takes when it is quiet: the least second of the last ten minutes, by its
 * median. A floor under what is there rather than a mean of it, because a mean would follow our own load up, and then find
 * that load quiet.
 */
export class Baseline {
  #recent: { readonly at: number; readonly ms: number }[] = []
  #second: { readonly began: number; readonly looks: number[] } | null = null
  /** Seconds that are over and less than each one after them, so the first is the least. */
  #least: { readonly at: number; readonly ms: number }[] = []

  /** One transaction took so long; with a weight of those that would have been made meanwhile. */
  observe(at: number, ms: number, weight: number): void {
    this.#recent = this.#recent.filter((look) => look.at > at - recent)
    for (let times = 0; times < weight; times += 1) this.#recent.push({ at, ms })
    if (this.#second && at - this.#second.began >= bucket) {
      this.#close(at, median(this.#second.looks))
      this.#second = null
    }
    this.#second ??= { began: at, looks: [] }
    this.#second.looks.push(ms)
  }

  /** The median of the last three seconds; null without a look in them. */
  latency(now: number): number | null {
    const looks = this.#recent.filter(({ at }) => at > now - recent).map(({ ms }) => ms)
    return looks.length === 0 ? null : median(looks)
  }

  /** Null before the first second is over. */
  quiet(now: number): number | null {
    const lowest = this.#least.find(({ at }) => at > now - memory)
    return lowest ? Math.max(least, lowest.ms) : null
  }

  #close(at: number, ms: number): void {
    this.#least = [...this.#least.filter((second) => second.at > at - memory && second.ms < ms), { at, ms }]
  }
}
