/** The queue refuses tickets, with the time since when and the queue's answer. The message is shown to people. */
export class TicketsRefused extends Error {
  override readonly name = 'TicketsRefused'
  readonly since: Date
  /** True: the queue answered with a refusal. False: it could not be reached, or did not answer in time. */
  readonly answered: boolean

  constructor(since: Date, cause: Error) {
    // Redis appends the name of BullMQ's script.
    const words = cause.message.replace(/\.? script: .*$/s, '').replace(/\.$/, '')
    super(`The queue has taken no tickets since ${since.toISOString()}: ${words}. It is tried again every second.`, {
      cause,
    })
    this.since = since
    this.answered = isAnswer(cause)
  }
}

/** Whether an error is an answer of Redis or Postgres, and not an error of the connection reported by Node. */
export function isAnswer(error: unknown): boolean {
  return error instanceof Error && (error.name === 'ReplyError' || 'severity' in error)
}

const retryEveryMs = 1000

/**
 * Tracks whether the queue accepts tickets. While it refuses them, it is tried once a second, however many callers have
 * tickets.
 */
export class Acceptance {
  readonly #onRefused: (error: Error) => void
  #refused: TicketsRefused | null = null
  #triedAt = Number.NEGATIVE_INFINITY
  #acceptedAt = Number.NEGATIVE_INFINITY

  /** `onRefused` is called once for each series of refusals, and again for each new cause within it. */
  constructor(onRefused: (error: Error) => void) {
    this.#onRefused = onRefused
  }

  /** Whether the queue accepted a ticket within the last second. */
  get isFresh(): boolean {
    return performance.now() - this.#acceptedAt < retryEveryMs
  }

  /** Offers tickets. Throws TicketsRefused if the queue does not accept them. */
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
