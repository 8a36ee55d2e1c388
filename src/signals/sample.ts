import { messageOf } from '../core/errors.ts'
import type { Measured, Reading, SignalName } from '../core/throttle/signal.ts'
import { unknown } from './messages.ts'

/** Signals that are sampled together. */
export interface SampleSpec {
  readonly signals: readonly SignalName[]
  readonly intervalMs: number
  /** Readings of the signals that apply, with their table if the sample is of tables. */
  read(): Promise<ReadonlyArray<Reading & { readonly table?: string }>>
  /** Whether the readings are of tables. `measured` needs a table then. */
  readonly ofTables?: boolean
}

interface Seen {
  readonly reading: Reading & { readonly table?: string }
  /** Values of the last samples, newest last. */
  readonly values: ReadonlyArray<number | null>
}

/** Samples whose worst value is a signal's `worst`. */
const remembered = 3

/** The last readings and their age. A sample that fails makes its signals unknown. */
export class Sample {
  readonly #spec: SampleSpec
  readonly #onError: (signal: SignalName, error: unknown) => void
  #seen = new Map<string, Seen>()
  #at: number | null = null
  /** When the last completed sample began. Monotonic milliseconds. */
  #beganAt = Number.NEGATIVE_INFINITY
  #underWay = false
  #complaint: string | null = null

  constructor(spec: SampleSpec, onError: (signal: SignalName, error: unknown) => void) {
    this.#spec = spec
    this.#onError = onError
  }

  get ofTables(): boolean {
    return this.#spec.ofTables === true
  }

  get intervalMs(): number {
    return this.#spec.intervalMs
  }

  /** Takes a sample. Never throws. */
  async take(): Promise<void> {
    this.#underWay = true
    const beganAt = performance.now()
    try {
      this.#keep(await this.#spec.read())
      this.#complaint = null
    } catch (error) {
      const words = messageOf(error)
      this.#keep(this.#failed(`cannot be read: ${words}`))
      // The same message twice a second would bury all others.
      if (words !== this.#complaint) for (const signal of this.#spec.signals) this.#onError(signal, error)
      this.#complaint = words
    } finally {
      this.#beganAt = beganAt
      this.#underWay = false
    }
  }

  /** The last readings. Unknown if they were taken on a server that the address led to before `since`. */
  measured(now: number, table?: string, since = Number.NEGATIVE_INFINITY): Measured[] {
    const { signals, ofTables = false } = this.#spec
    if (ofTables && table === undefined) return []
    if (this.#at !== null && this.#beganAt < since) {
      const seconds = Math.round((now - since) / 1000)
      const detail = `has not been read on the server that the database's address moved to ${seconds} s ago: wait a moment; if this goes on, check that the new server accepts sessions`
      return signals.map((signal) => ({ ...unknown(signal, detail), worst: null, at: now }))
    }
    const seen = [...this.#seen.values()].filter(({ reading }) => !ofTables || reading.table === table)
    if (this.#at === null || (ofTables && seen.length === 0)) {
      const detail = this.#complaint
        ? `cannot be read: ${this.#complaint}`
        : 'has not been read yet: wait a moment; if this goes on, check that the database answers'
      return signals.map((signal) => ({ ...unknown(signal, detail), worst: null, at: now }))
    }
    const at = this.#at
    const stale = now - at > Math.max(3000, 3 * this.#spec.intervalMs)
    return seen.map(({ reading: { table: _, ...reading }, values }) => {
      if (!stale) return { ...reading, worst: worstOf(values), at }
      const cause = this.#underWay
        ? 'the database does not answer; check that it runs and can be reached'
        : 'this process is too busy; give it more CPU, or run fewer jobs in it'
      const seconds = Math.round((now - at) / 1000)
      return {
        signal: reading.signal,
        value: null,
        detail: `has not been read for ${seconds} s: ${cause}`,
        worst: null,
        at,
      }
    })
  }

  #keep(readings: ReadonlyArray<Reading & { readonly table?: string }>): void {
    const next = new Map<string, Seen>()
    for (const reading of readings) {
      const key = `${reading.signal} ${reading.table ?? ''}`
      const before = this.#seen.get(key)?.values ?? []
      next.set(key, { reading, values: [...before.slice(1 - remembered), reading.value] })
    }
    this.#seen = next
    this.#at = performance.now()
  }

  /** Makes every reading unknown, and every signal that had none. */
  #failed(detail: string): ReadonlyArray<Reading & { readonly table?: string }> {
    const known = [...this.#seen.values()].map(({ reading }) => ({ ...reading, value: null, detail }))
    const missing = this.#spec.ofTables ? [] : this.#spec.signals
    return [
      ...known,
      ...missing.flatMap((signal) => (known.some((one) => one.signal === signal) ? [] : unknown(signal, detail))),
    ]
  }
}

function worstOf(values: ReadonlyArray<number | null>): number | null {
  return values.reduce<number | null>(
    (worst, value) => (worst === null || value === null ? null : Math.max(worst, value)),
    Number.NEGATIVE_INFINITY,
  )
}
