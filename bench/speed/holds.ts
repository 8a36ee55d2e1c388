/**
 * The longest that a transaction which had locked rows was seen to last, by looks at which of them are open. It counts
 * from the look before the first that saw it: on average neither too long nor too short, and off by one look at most.
 */
export class Holds {
  #longestMs = 0
  #lookedAt: number
  #since: ReadonlyMap<string, number> = new Map()

  constructor(startedAt: number) {
    this.#lookedAt = startedAt
  }

  get longestMs(): number {
    return this.#longestMs
  }

  /** At a time in milliseconds, those that were open. */
  look(at: number, open: readonly string[]): void {
    this.#since = new Map(open.map((name) => [name, this.#since.get(name) ?? this.#lookedAt]))
    for (const since of this.#since.values()) this.#longestMs = Math.max(this.#longestMs, at - since)
    this.#lookedAt = at
  }
}
