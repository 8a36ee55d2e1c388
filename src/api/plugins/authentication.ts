import { createHash, timingSafeEqual } from 'node:crypto'
import type { FastifyRequest } from 'fastify'
import { Problem } from '../../core/errors.ts'
import type { Token } from '../../core/token.ts'
import type { App } from '../server.ts'
import type { Connections } from './connections.ts'
import type { Limits } from './limits.ts'

const open = new Set(['/livez', '/readyz'])
/** Stop commands are not rate limited: other callers' traffic must not delay them. */
const brake = /^\/(runs\/[^/]+\/)?(pause|cancel)$/
const actors = new WeakMap<FastifyRequest, string>()

/** The caller's name for the event log: the token's name, or `local` without tokens. */
export function actorOf(request: FastifyRequest): string {
  return actors.get(request) ?? 'local'
}

/**
 * With tokens, every route except liveness and readiness requires one, and every action requires scope `operate`.
 * Without tokens the service listens on loopback only; a web page in the operator's browser must not be able to act as
 * the operator. The limits apply to every caller.
 */
export function authentication(app: App, tokens: readonly Token[], limits: Limits, connections: Connections): void {
  app.addHook('onRequest', async (request, reply) => {
    const [path = ''] = request.url.split('?')
    if (open.has(path)) return
    const isBrake = request.method === 'POST' && brake.test(path)
    if (tokens.length === 0) {
      refuseForeignPages(request)
      connections.trust(request.raw.socket)
      if (!isBrake) await limits.countCall(request.ip, reply)
      return
    }
    const { authorization } = request.headers
    // A call without a token cannot be a guess.
    if (authorization !== undefined) await limits.refuseGuesser(request, reply)
    const token = findToken(tokens, authorization)
    if (!token) {
      if (authorization !== undefined) limits.countWrongToken(request)
      throw new Problem(
        'unauthenticated',
        'This call needs a valid token. Send the header Authorization: Bearer <secret>.',
      )
    }
    connections.trust(request.raw.socket)
    if (!isBrake) await limits.countCall(token.name, reply)
    if (token.scope === 'read' && request.method !== 'GET' && request.method !== 'HEAD') {
      throw new Problem('forbidden', `Token ${token.name} may only read. Use one with scope operate.`)
    }
    actors.set(request, token.name)
  })
}

/** Compares every token in constant time, so the duration reveals nothing about any of them. */
function findToken(tokens: readonly Token[], header: string | undefined): Token | null {
  const given = digest(/^Bearer +(\S+)$/i.exec(header ?? '')?.[1] ?? '')
  let found: Token | null = null
  for (const token of tokens) if (timingSafeEqual(given, digest(token.secret))) found = token
  return found
}

function digest(secret: string): Buffer {
  return createHash('sha256').update(secret).digest()
}

function refuseForeignPages(request: FastifyRequest): void {
  const { host = '', origin } = request.headers
  const name = host.replace(/:\d+$/, '')
  const local = name === 'localhost' || name === '[::1]' || /^127\.\d+\.\d+\.\d+$/.test(name)
  if (local && (origin === undefined || origin === `http://${host}`)) return
  throw new Problem(
    'forbidden',
    'API_TOKENS is not set, so the API answers only calls to a loopback name (localhost, 127.x.x.x, [::1]), and refuses calls from web pages of other origins. Set API_TOKENS to allow other calls.',
  )
}
