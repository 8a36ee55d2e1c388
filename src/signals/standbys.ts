import { LagTracker } from '../core/throttle/lag-tracker.ts'
import { countNames, type Standby } from './replication.ts'

/** How far one standby is behind, streaming or vanished. */
export interface Behind {
  readonly name: string
  readonly seconds: number
  readonly bytes: number
  readonly vanished: boolean
}

/** Standbys of one name of which too few stream. */
export interface Missing {
  readonly name: string
  readonly streaming: number
  readonly expected: number
  readonly seconds: number
  /** Whether their last position is known. */
  readonly traced: boolean
}

/**
 * Remembers the positions of the primary and of each standby between samples. A vanished standby keeps its last
 * position, so its lag grows until it is back or no longer expected.
 */
export class Standbys {
  readonly #primary = new LagTracker()
  #position = 0n
  #at = performance.now()
  #streaming: readonly Standby[] = []
  #expected: ReadonlyMap<string, number> = new Map()
  /** Last positions of vanished standbys, the furthest behind first. */
  readonly #vanished = new Map<string, bigint[]>()
  /** When enough standbys of a name were last seen; if never, when they were first expected. */
  #complete: ReadonlyMap<string, number> = new Map()

  /** Records a sample: the primary's position, the standbys that count, and how many of each name are expected. */
  observe(at: number, position: bigint, standbys: readonly Standby[], expected: ReadonlyMap<string, number>): void {
    this.#primary.observe(at, position)
    this.#position = position
    const present = new Set(standbys.map(({ pid }) => pid))
    for (const { pid, name, replayed } of this.#streaming) {
      if (!present.has(pid)) this.#vanished.set(name, [...(this.#vanished.get(name) ?? []), replayed])
    }
    const counts = countNames(standbys.map(({ name }) => name))
    for (const [name, positions] of this.#vanished) {
      const missing = Math.max(0, (expected.get(name) ?? 0) - (counts.get(name) ?? 0))
      // It is unknown which of several standbys with one name has come back. The furthest behind are taken for those
      // still missing.
      const kept = positions.sort((a, b) => (a < b ? -1 : 1)).slice(0, missing)
      if (kept.length === 0) this.#vanished.delete(name)
      else this.#vanished.set(name, kept)
    }
    const before = this.#at
    this.#complete = new Map(
      [...expected].map(([name, number]) => [
        name,
        (counts.get(name) ?? 0) >= number ? at : (this.#complete.get(name) ?? before),
      ]),
    )
    this.#at = at
    this.#streaming = standbys
    this.#expected = expected
  }

  /** Whether there is a standby or one is expected. Without either there is no reading. */
  get any(): boolean {
    return this.#streaming.length > 0 || this.#expected.size > 0
  }

  get streaming(): number {
    return this.#streaming.length
  }

  behind(): Behind[] {
    const streaming = this.#streaming.map((standby) => this.#behind(standby.name, standby.replayed, standby))
    const vanished = [...this.#vanished].flatMap(([name, positions]) =>
      positions.map((replayed) => this.#behind(name, replayed, null)),
    )
    return [...streaming, ...vanished]
  }

  missing(): Missing[] {
    const counts = countNames(this.#streaming.map(({ name }) => name))
    return [...this.#expected].flatMap(([name, expected]) => {
      const streaming = counts.get(name) ?? 0
      if (streaming >= expected) return []
      const since = this.#complete.get(name) ?? this.#at
      const traced = (this.#vanished.get(name)?.length ?? 0) >= expected - streaming
      return [{ name, streaming, expected, seconds: (this.#at - since) / 1000, traced }]
    })
  }

  #behind(name: string, replayed: bigint, standby: Standby | null): Behind {
    const bytes = Number(this.#position > replayed ? this.#position - replayed : 0n)
    const lag = this.#primary.lag(replayed, this.#at)
    const seconds = (lag?.ms ?? 0) / 1000
    // The standby is behind the primary's position in our first sample. The primary's own measurement may be more
    // exact.
    const least = lag && !lag.exact ? (standby?.replaySeconds ?? 0) : 0
    return { name, seconds: Math.max(seconds, least), bytes, vanished: standby === null }
  }
}
