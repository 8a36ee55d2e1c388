const maxKeys = 5000

/**
 * Limits how often each key may do something: `burst` times at once, and from then on `perSecond` times. The time that
 * it is given must only go forward: after a wall clock is set back, a client that had used up its tokens would be shut
 * out until the clock has caught up.
 */
export class TokenBucket {
  readonly #burst: number
  readonly #perSecond: number
  readonly #left = new Map<string, { count: number; at: number }>()

  constructor({ burst, perSecond }: { burst: number; perSecond: number }) {
    this.#burst = burst
    this.#perSecond = perSecond
  }

  /** Seconds until this key may do it; 0 if it may now. */
  wait(key: string, now: number): number {
    return Math.max(0, 1 - this.#count(key, now)) / this.#perSecond
  }

  /** Uses up one token, if there is one. Returns the seconds to wait instead; 0 if there was one. */
  take(key: string, now: number): number {
    const count = this.#count(key, now)
    const wait = Math.max(0, 1 - count) / this.#perSecond
    // Inserted again, it is the last to be forgotten: strangers from many addresses cannot push out frequent clients.
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
