import { setTimeout as sleep } from 'node:timers/promises'

interface Waiting<T> {
  /** A read that has not begun. */
  next: Promise<T> | null
  /** Resolves when the next read may begin. */
  rest: Promise<unknown>
}

/**
 * Coalesces reads by key: one at a time, and no two within `everyMs`, however many callers there are. Each caller gets
 * a read that began after its call, so it sees its own earlier changes. The first caller never waits.
 */
export class Coalescer<T> {
  readonly #everyMs: number
  readonly #keys = new Map<string, Waiting<T>>()

  constructor(everyMs: number) {
    this.#everyMs = everyMs
  }

  /** Resolves or rejects as the shared read does. */
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
