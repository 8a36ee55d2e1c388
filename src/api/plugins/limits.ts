import { isIPv6 } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { Problem } from '../../core/errors.ts'
import { TokenBucket } from '../../core/token-bucket.ts'

/**
 * Limit for one address. Secrets have at least 16 characters, so at this rate guessing is hopeless; a mistyped token
 * does no harm.
 */
const wrongTokens = { burst: 30, perSecond: 0.5 }

/** How long a refusal waits at most to be sent together with others. Milliseconds. */
const refusalsApartMs = 100

/** Rate limits of the API. Each process counts separately. */
export class Limits {
  readonly #callsPerSecond: number
  readonly #calls: TokenBucket
  readonly #wrongTokens = new TokenBucket(wrongTokens)
  #refusals: Promise<void> | null = null

  constructor(callsPerSecond: number) {
    this.#callsPerSecond = callsPerSecond
    this.#calls = new TokenBucket({ burst: 2 * callsPerSecond, perSecond: callsPerSecond })
  }

  /** Counts a call. Rejects with a Problem (`too-many`) if the caller is over its limit. */
  async countCall(caller: string, reply: FastifyReply): Promise<void> {
    const wait = this.#calls.take(caller, seconds())
    if (wait > 0) await this.#refuse(reply, wait, `This is more than ${this.#callsPerSecond} calls a second.`)
  }

  /**
   * Rejects with a Problem (`too-many`) if this address has sent too many wrong tokens, whatever token it sends now.
   */
  async refuseGuesser(request: FastifyRequest, reply: FastifyReply): Promise<void> {
    const wait = this.#wrongTokens.wait(networkOf(request.ip), seconds())
    if (wait > 0) await this.#refuse(reply, wait, `Too many calls with a wrong token came from ${request.ip}.`)
  }

  countWrongToken(request: FastifyRequest): void {
    this.#wrongTokens.take(networkOf(request.ip), seconds())
  }

  /**
   * Sends refusals in groups. Ten thousand refusals a minute, sent one by one, slowed a run more than as many answers.
   * The delay also slows clients that retry at once.
   */
  async #refuse(reply: FastifyReply, wait: number, why: string): Promise<never> {
    this.#refusals ??= sleep(refusalsApartMs).then(() => {
      this.#refusals = null
    })
    await this.#refusals
    const after = Math.ceil(wait)
    reply.header('retry-after', String(after))
    throw new Problem('too-many', `${why} Nothing was done; try again in ${after} s.`)
  }
}

/** The address to count by. A client with one IPv6 address controls its whole 64-bit network. */
export function networkOf(address: string): string {
  if (!isIPv6(address) || address.includes('.')) return address
  const [head = '', tail] = address.split('::')
  const front = head === '' ? [] : head.split(':')
  const back = tail === undefined || tail === '' ? [] : tail.split(':')
  const zeros = Array<string>(Math.max(0, 8 - front.length - back.length)).fill('0')
  return [...front, ...zeros, ...back].slice(0, 4).join(':')
}

function seconds(): number {
  return performance.now() / 1000
}
