import { median } from '../core/statistics.ts'

/** Milliseconds. */
const recent = 3000
const bucket = 1000
const memory = 10 * 60_000
/** Least quiet latency. A shorter commit is a matter of memory and luck, and many times its time is still nothing. */
const least = 0.2

/**
 * Latency of a tiny transaction, now and when the database is quiet. Quiet is the lowest median of any second in the
 * last ten minutes. A mean would follow our own load up, and then take that load for quiet.
 */
export class Baseline {
  #recent: { readonly at: number; readonly ms: number }[] = []
  #second: { readonly began: number; readonly looks: number[] } | null = null
  /** Completed seconds, each lower than all after it, so the first is the lowest. */
  #least: { readonly at: number; readonly ms: number }[] = []

  /** Records one transaction, weighted by the number that would have been made in its time. */
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

  /** Median of the last three seconds; null without a sample in them. */
  latency(now: number): number | null {
    const looks = this.#recent.filter(({ at }) => at > now - recent).map(({ ms }) => ms)
    return looks.length === 0 ? null : median(looks)
  }

  /** Quiet latency; null before the first second is over. */
  quiet(now: number): number | null {
    const lowest = this.#least.find(({ at }) => at > now - memory)
    return lowest ? Math.max(least, lowest.ms) : null
  }

  #close(at: number, ms: number): void {
    this.#least = [...this.#least.filter((second) => second.at > at - memory && second.ms < ms), { at, ms }]
  }
}
