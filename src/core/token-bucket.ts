const maxKeys = 5000

/**
 * How often each of many may do something: `burst` times at once, and from then on `perSecond` times. By the time that it is
 * given, which must only go forward: after a wall clock is set back, whoever had used his up would be shut out until it
 * has caught up.
 */
export class TokenBucket {
  readonly #burst: number
  readonly #perSecond: number
  readonly #left = new Map<string, { count: number; at: number }>()

  constructor({ burst, perSecond }: { burst: number; perSecond: number }) {
    this.#burst = burst
    this.#perSecond = perSecond
  }

  /** Seconds until this one may do it; 0 where it may now. */
  wait(key: string, now: number): number {
    return Math.max(0, 1 - this.#count(key, now)) / this.#perSecond
  }

  /** Uses up one, where there is one. Seconds to wait instead; 0 where there was one. */
  take(key: string, now: number): number {
    const count = this.#count(key, now)
    const wait = Math.max(0, 1 - count) / this.#perSecond
    // Set anew, it is the last to be forgotten: strangers from many addresses cannot have those who come often forgotten.
    this.#left.delete(key)
    this.#left.set(key, { count: wait > 0 ? count : count - 1, at: now })
    if (this.#left.size > maxKeys) this.#left.delete(this.#left.keys().next().value as string)
    return wait
  }

  #count(key: string, now: number): number {
    const left = this.#left.get(key)
    if (!left) return this.#burst
    return Math.min(this.#burst, left.count + (now - left.at) * this.#perSecond)
  }
}
