import { isIPv6 } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { Problem } from '../../core/errors.ts'
import { TokenBucket } from '../../core/token-bucket.ts'

/** Of one address. With the 16 characters of a secret at least, this makes guessing hopeless; a slip of the hand is none. */
const wrongTokens = { burst: 30, perSecond: 0.5 }

/** So long at most a refusal waits for others to be sent with. Milliseconds. */
const refusalsApartMs = 100

/** How often the API may be asked. Each process counts for itself. */
export class Limits {
  readonly #callsPerSecond: number
  readonly #calls: TokenBucket
  readonly #wrongTokens = new TokenBucket(wrongTokens)
  #refusals: Promise<void> | null = null

  constructor(callsPerSecond: number) {
    this.#callsPerSecond = callsPerSecond
    this.#calls = new TokenBucket({ burst: 2 * callsPerSecond, perSecond: callsPerSecond })
  }

  /** Counts a call. Rejects with a Problem (`too-many`) where its caller has had his share. */
  async countCall(caller: string, reply: FastifyReply): Promise<void> {
    const wait = this.#calls.take(caller, seconds())
    if (wait > 0) await this.#refuse(reply, wait, `This is more than ${this.#callsPerSecond} calls a second.`)
  }

  /** Rejects with a Problem (`too-many`) where an address has tried too many wrong tokens, whatever it tries now. */
  async refuseGuesser(request: FastifyRequest, reply: FastifyReply): Promise<void> {
    const wait = this.#wrongTokens.wait(networkOf(request.ip), seconds())
    if (wait > 0) await this.#refuse(reply, wait, `Too many calls with a wrong token came from ${request.ip}.`)
  }

  countWrongToken(request: FastifyRequest): void {
    this.#wrongTokens.take(networkOf(request.ip), seconds())
  }

  /**
   * Refusals go out together: ten thousand a minute, each by itself, cost a run more of its speed than as many answers. It also
   * slows whoever asks again at once, over and over.
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

/** Somebody who has one address of IPv6 has the whole network of it, 64 bits. */
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
