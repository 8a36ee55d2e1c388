import { STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'
import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify'
import { hasZodFastifySchemaValidationErrors } from 'fastify-type-provider-zod'
import { Problem, type ProblemKind } from '../../core/errors.ts'
import { describeFault, isOutage } from '../../core/fault.ts'
import { isSqlState, sqlstateOf } from '../../core/sqlstate.ts'
import type { App } from '../server.ts'
import { discardBody } from './bodies.ts'

const statuses: Readonly<Record<ProblemKind, number>> = {
  invalid: 422,
  unauthenticated: 401,
  forbidden: 403,
  'not-found': 404,
  conflict: 409,
  stale: 412,
  'too-many': 429,
  unsupported: 415,
  unavailable: 503,
}

const titles: Readonly<Record<number, string>> = {
  400: 'Bad request',
  401: 'Not authenticated',
  403: 'Not allowed',
  404: 'Not found',
  408: 'Too slow',
  409: 'Conflict',
  412: 'Version has changed',
  413: 'Body too large',
  414: 'Address too long',
  415: 'Unsupported media type',
  422: 'Cannot be accepted',
  429: 'Too many requests',
  431: 'Headers too large',
  500: 'Internal error',
  503: 'Unavailable',
}

declare module 'fastify' {
  interface FastifyContextConfig {
    /** A stop command, which must never fail because of its body. */
    readonly brake?: boolean
  }
}

/** RFC 9457. */
export interface ProblemBody {
  readonly type: string
  readonly title: string
  readonly status: number
  readonly detail: string
  readonly [extension: string]: unknown
}

export const bodyLimitBytes = 64 * 1024

/** The deepest nesting of a body. No valid request comes near it. */
const deepest = 32

/**
 * Answers are for the caller alone: caches must not keep them, and browsers must not treat them as a page or a script.
 */
const guardHeaders = {
  'cache-control': 'no-store',
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
  'cross-origin-resource-policy': 'same-origin',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
}

/** Makes every error answer problem+json, including unknown routes, malformed bodies and internal errors. */
export function problems(app: App): void {
  app.addHook('onRequest', async (_request, reply) => void reply.headers(guardHeaders))
  app.addHook('preValidation', async (request) => {
    if (!request.routeOptions.config.brake) refuseUnstorable(request.body)
  })
  app.setErrorHandler(async (error: FastifyError, request, reply) => {
    const body = problemOf(error, request)
    if (body.status === 413) await discardBody(request.raw)
    if (body.status >= 500)
      request.log.error({ err: error, method: request.method, url: request.url }, 'request failed')
    if (body.status === 401) reply.header('www-authenticate', 'Bearer')
    return reply.code(body.status).type('application/problem+json').serializer(JSON.stringify).send(body)
  })
  app.setNotFoundHandler((request, reply) => {
    const body = problem(
      404,
      `There is no route ${request.method} ${clipped(request.url.split('?')[0] ?? '')}. GET /openapi.json lists all routes.`,
    )
    return reply.code(404).type('application/problem+json').serializer(JSON.stringify).send(body)
  })
}

/** Answers errors that the router raises before any hook or handler. */
export function frameworkErrors(error: FastifyError, _request: unknown, reply: FastifyReply): void {
  const body = problem(error.statusCode ?? 400, clipped(error.message))
  void reply
    .headers(guardHeaders)
    .code(body.status)
    .type('application/problem+json')
    .serializer(JSON.stringify)
    .send(body)
}

/** Answers input that never becomes a request: not HTTP, too large or too slow. Only the socket is available. */
export function clientErrors(error: Error & { code?: string }, socket: Socket): void {
  if (error.code === 'ECONNRESET' || socket.destroyed) return
  const { status, detail } = brokenRequests[error.code ?? ''] ?? {
    status: 400,
    detail: 'This is not an HTTP/1.1 request.',
  }
  if (socket.writable) {
    const body = JSON.stringify(problem(status, detail))
    const headers = {
      ...guardHeaders,
      'content-type': 'application/problem+json',
      'content-length': Buffer.byteLength(body),
      connection: 'close',
    }
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)
    socket.write(`HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n${lines.join('')}\r\n${body}`)
  }
  socket.destroySoon()
}

const brokenRequests: Readonly<Record<string, { readonly status: number; readonly detail: string }>> = {
  ERR_HTTP_REQUEST_TIMEOUT: { status: 408, detail: 'The request did not arrive in time. Nothing was done.' },
  HPE_HEADER_OVERFLOW: { status: 431, detail: 'The headers are too large. Nothing was done.' },
}

/** Shortens client input that an error message quotes. */
function clipped(text: string): string {
  return text.length > 200 ? `${text.slice(0, 200)}…` : text
}

function problemOf(error: FastifyError, { id: requestId, method }: Pick<FastifyRequest, 'id' | 'method'>): ProblemBody {
  if (error instanceof Problem) return problem(statuses[error.kind], error.message, error.details)
  if (hasZodFastifySchemaValidationErrors(error)) {
    const errors = error.validation.map((issue) => ({
      path: `${error.validationContext}${issue.instancePath}`,
      message: issue.message,
    }))
    return problem(
      400,
      `The request is invalid. ${errors.map(({ path, message }) => `${path.replace(/\/$/, '')}: ${message}`).join('; ')}.`,
      { errors },
    )
  }
  if (error.statusCode === 413)
    return problem(413, `The body is larger than ${bodyLimitBytes / 1024} KiB. Nothing was done; send less.`)
  if (error.statusCode !== undefined && error.statusCode < 500) return problem(error.statusCode, error.message)
  if (isSqlState(error, 'character_not_in_repertoire', 'untranslatable_character'))
    return problem(400, `Postgres cannot store a character of this request. ${saidByPostgres(error)} Leave it out.`)
  if (isSqlState(error, 'lock_not_available')) {
    return problem(
      503,
      `Another session holds a lock that this call needs. ${saidByPostgres(error)} Nothing was changed; try again.`,
    )
  }
  if (isSqlState(error, 'query_canceled'))
    return problem(
      503,
      `The statement took too long and was cancelled. ${saidByPostgres(error)} Nothing was changed; try again.`,
    )
  if (isOutage(error)) return problem(503, describeOutage(error, method === 'GET' || method === 'HEAD'))
  return problem(500, `Internal error. The log has the details under request ${requestId}.`, { requestId })
}

/** Postgres' message, hint and context. Empty without an SQLSTATE: then the connection was lost. */
function saidByPostgres(error: Error & { hint?: string; where?: string }): string {
  const sqlstate = sqlstateOf(error)
  if (sqlstate === null) return ''
  const { hint, where } = error
  return [
    `Postgres says: ${sentence(`${describeFault(error)} [${sqlstate}]`)}`,
    ...(where === undefined ? [] : [sentence(where.split('\n')[0] ?? '')]),
    ...(hint === undefined ? [] : [`Hint: ${sentence(hint)}`]),
  ].join(' ')
}

/** SQLSTATEs with which Postgres refuses a statement and its whole transaction before any of it took effect. */
const refusedWhole = /^(25006$|53|08P01$)/

/** Describes an outage. If the connection is lost during a commit, the outcome is unknown. */
function describeOutage(error: FastifyError, isRead: boolean): string {
  const said = saidByPostgres(error)
  if (refusedWhole.test(sqlstateOf(error) ?? ''))
    return `The database refuses this at the moment. ${said} Nothing was changed. Try again when that is fixed.`
  const lost = said === '' ? 'The database cannot be reached at the moment.' : `The database ended the session. ${said}`
  return isRead
    ? `${lost} Try again.`
    : `${lost} Whether the change was made is unknown. Read the run before you repeat it. A start may be repeated with the same Idempotency-Key.`
}

function sentence(text: string): string {
  return /[.!?]$/.test(text) ? text : `${text}.`
}

function problem(status: number, detail: string, extensions: Record<string, unknown> = {}): ProblemBody {
  return { ...extensions, type: 'about:blank', title: titles[status] ?? 'Error', status, detail }
}

/**
 * Refuses values that cannot be stored or handled. Postgres stores neither NUL nor half a surrogate pair in text or
 * jsonb. Unbounded nesting would exhaust the stack of the code that walks the value.
 */
function refuseUnstorable(value: unknown, depth = 0): void {
  if (depth > deepest) throw new Problem('invalid', `The body is nested more than ${deepest} levels deep.`)
  if (typeof value === 'string' && (value.includes('\0') || !isWellFormed(value))) {
    throw new Problem(
      'invalid',
      'The body holds a character that Postgres cannot store (NUL, or half of a surrogate pair). Leave it out.',
    )
  }
  if (typeof value === 'object' && value !== null) {
    for (const [key, item] of Object.entries(value)) {
      refuseUnstorable(key)
      refuseUnstorable(item, depth + 1)
    }
  }
}

function isWellFormed(text: string): boolean {
  return !/\p{Surrogate}/u.test(text)
}
