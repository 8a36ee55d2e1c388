/** The queue does not take tickets: since when, and what it answers. Its message is for people. */
export class TicketsRefused extends Error {
  override readonly name = 'TicketsRefused'
  readonly since: Date
  /** The queue answered, and refused; else it could not be reached, or not in time. */
  readonly answered: boolean

  constructor(since: Date, cause: Error) {
    // Redis adds which of BullMQ's scripts it was in.
    const words = cause.message.replace(/\.? script: .*$/s, '').replace(/\.$/, '')
    super(`The queue takes no tickets since ${since.toISOString()}: ${words}. It is tried again every second.`, {
      cause,
    })
    this.since = since
    this.answered = isAnswer(cause)
  }
}

/** Whether an error is what Redis or Postgres has answered, and not what Node says of a connection. */
export function isAnswer(error: unknown): boolean {
  return error instanceof Error && (error.name === 'ReplyError' || 'severity' in error)
}

const retryEveryMs = 1000

/** Whether the queue takes tickets. While it does not, it is tried once a second, however many have tickets for it. */
export class Acceptance {
  readonly #onRefused: (error: Error) => void
  #refused: TicketsRefused | null = null
  #triedAt = Number.NEGATIVE_INFINITY
  #acceptedAt = Number.NEGATIVE_INFINITY

  /** `onRefused` hears of each row of refusals once, and of each cause that is new in it. */
  constructor(onRefused: (error: Error) => void) {
    this.#onRefused = onRefused
  }

  /** A ticket was taken within the last second. */
  get isFresh(): boolean {
    return performance.now() - this.#acceptedAt < retryEveryMs
  }

  /** Offers tickets. Throws TicketsRefused where the queue does not take them. */
  async offer<T>(put: () => Promise<T>): Promise<T> {
    if (this.#refused && performance.now() - this.#triedAt < retryEveryMs) throw this.#refused
    this.#triedAt = performance.now()
    try {
      const answer = await put()
      this.#refused = null
      this.#acceptedAt = performance.now()
      return answer
    } catch (error) {
      const before = this.#refused
      const refused = new TicketsRefused(before?.since ?? new Date(), error as Error)
      this.#refused = refused
      this.#triedAt = performance.now()
      this.#acceptedAt = Number.NEGATIVE_INFINITY
      if (before?.message !== refused.message) this.#onRefused(refused)
      throw refused
    }
  }
}
