import { isIPv6 } from 'node:net'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { Allowance } from '../../core/allowance.ts'
import { Problem } from '../../core/errors.ts'

/** Of one address. With the 16 characters of a secret at least, this makes guessing hopeless; a slip of the hand is none. */
const wrongTokens = { burst: 30, perSecond: 0.5 }

/** How often the API may be asked. Each process counts for itself. */
export class Limits {
  readonly #callsPerSecond: number
  readonly #calls: Allowance
  readonly #wrongTokens = new Allowance(wrongTokens)

  constructor(callsPerSecond: number) {
    this.#callsPerSecond = callsPerSecond
    this.#calls = new Allowance({ burst: 2 * callsPerSecond, perSecond: callsPerSecond })
  }

  /** Counts a call. Throws a Problem (`too-many`) where its caller has had his share. */
  countCall(caller: string, reply: FastifyReply): void {
    refuse(reply, this.#calls.take(caller, seconds()), `This is more than ${this.#callsPerSecond} calls a second.`)
  }

  /** Throws a Problem (`too-many`) where an address has tried too many wrong tokens, whatever it tries now. */
  refuseGuesser(request: FastifyRequest, reply: FastifyReply): void {
    const wait = this.#wrongTokens.wait(networkOf(request.ip), seconds())
    refuse(reply, wait, `Too many calls with a wrong token came from ${request.ip}.`)
  }

  countWrongToken(request: FastifyRequest): void {
    this.#wrongTokens.take(networkOf(request.ip), seconds())
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

function refuse(reply: FastifyReply, wait: number, why: string): void {
  if (wait === 0) return
  const after = Math.ceil(wait)
  reply.header('retry-after', String(after))
  throw new Problem('too-many', `${why} Nothing was done; try again in ${after} s.`)
}

function seconds(): number {
  return performance.now() / 1000
}
