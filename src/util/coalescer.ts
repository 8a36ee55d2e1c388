import { setTimeout as sleep } from 'node:timers/promises'

interface Waiting<T> {
  /** A look that has not begun. */
  next: Promise<T> | null
  /** Ends when the next look may begin. */
  rest: Promise<unknown>
}

/**
 * Looks at something that many may ask for at once: one at a time, no two of one key begin within `everyMs`, however many ask.
 * Whoever asks gets a look that began after he asked: what he has done before, he sees. The first one never waits.
 */
export class Coalescer<T> {
  readonly #everyMs: number
  readonly #keys = new Map<string, Waiting<T>>()

  constructor(everyMs: number) {
    this.#everyMs = everyMs
  }

  /** What the look gives, or throws, to each that has waited for it. */
  run(key: string, look: () => Promise<T>): Promise<T> {
    const waiting = this.#keys.get(key)
    if (!waiting) return this.#begin(key, look)
    waiting.next ??= waiting.rest.then(() => this.#begin(key, look))
    return waiting.next
  }

  #begin(key: string, look: () => Promise<T>): Promise<T> {
    const answer = look()
    const waiting: Waiting<T> = { next: null, rest: Promise.allSettled([answer, sleep(this.#everyMs)]) }
    this.#keys.set(key, waiting)
    void waiting.rest.then(() => {
      if (!waiting.next) this.#keys.delete(key)
    })
    return answer
  }
}
