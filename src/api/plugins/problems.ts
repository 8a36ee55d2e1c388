import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify'
import { hasZodFastifySchemaValidationErrors } from 'fastify-type-provider-zod'
import { Problem, type ProblemKind } from '../../core/errors.ts'
import { isOutage } from '../../core/fault.ts'
import type { App } from '../app.ts'

const statuses: Readonly<Record<ProblemKind, number>> = {
  invalid: 422,
  unauthenticated: 401,
  forbidden: 403,
  'not-found': 404,
  conflict: 409,
  stale: 412,
  unavailable: 503,
}

const titles: Readonly<Record<number, string>> = {
  400: 'Bad request',
  401: 'Not authenticated',
  403: 'Not allowed',
  404: 'Not found',
  409: 'Conflict',
  412: 'Version has changed',
  413: 'Body too large',
  415: 'Unsupported media type',
  422: 'Cannot be accepted',
  500: 'Internal error',
  503: 'Unavailable',
}

/** RFC 9457. */
export interface ProblemBody {
  readonly type: string
  readonly title: string
  readonly status: number
  readonly detail: string
  readonly [extension: string]: unknown
}

/** Every answer that is not a success is problem+json: also for unknown routes, broken bodies and our own defects. */
export function problems(app: App): void {
  app.addHook('preValidation', async (request) => refuseUnstorable(request.body))
  app.setErrorHandler((error: FastifyError, request, reply) => {
    const body = problemOf(error, request)
    if (body.status >= 500)
      request.log.error({ err: error, method: request.method, url: request.url }, 'request failed')
    if (body.status === 401) reply.header('www-authenticate', 'Bearer')
    return reply.code(body.status).type('application/problem+json').serializer(JSON.stringify).send(body)
  })
  app.setNotFoundHandler((request, reply) => {
    const body = problem(
      404,
      `There is no ${request.method} ${request.url.split('?')[0]}. GET /openapi.json lists what there is.`,
    )
    return reply.code(404).type('application/problem+json').serializer(JSON.stringify).send(body)
  })
}

/** For what the router itself refuses, before any hook or handler. */
export function frameworkErrors(error: FastifyError, _request: unknown, reply: FastifyReply): void {
  const body = problem(error.statusCode ?? 400, error.message)
  void reply.code(body.status).type('application/problem+json').serializer(JSON.stringify).send(body)
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
      `The request does not fit: ${errors.map(({ path, message }) => `${path}: ${message}`).join('; ')}.`,
      { errors },
    )
  }
  if (error.statusCode !== undefined && error.statusCode < 500) return problem(error.statusCode, error.message)
  // Postgres cannot keep a NUL, neither in text nor in jsonb.
  if (['22021', '22P05'].includes(error.code))
    return problem(400, 'The request holds a character that Postgres cannot store (NUL, \\u0000). Leave it out.')
  if (['55P03', '57014'].includes(error.code)) {
    return problem(
      503,
      'Somebody else holds a lock that this needs, or it took too long. Nothing was changed; try again.',
    )
  }
  if (isOutage(error)) {
    // A connection that is lost at a commit takes the answer with it.
    return problem(
      503,
      method === 'GET' || method === 'HEAD'
        ? 'The database cannot be reached at the moment. Try again.'
        : 'The database cannot be reached at the moment, or was lost on the way: whether this was done cannot be said. Read how things stand, then decide; a start may be repeated under its Idempotency-Key.',
    )
  }
  return problem(500, `Something went wrong on our side. The log has it under request ${requestId}.`, { requestId })
}

function problem(status: number, detail: string, extensions: Record<string, unknown> = {}): ProblemBody {
  return { ...extensions, type: 'about:blank', title: titles[status] ?? 'Error', status, detail }
}

/** Postgres keeps neither a NUL nor half of a surrogate pair, in text or in jsonb. */
function refuseUnstorable(value: unknown): void {
  if (typeof value === 'string' && (value.includes('\0') || !isWellFormed(value))) {
    throw new Problem(
      'invalid',
      'The body holds a character that Postgres cannot store (NUL, or half of a surrogate pair). Leave it out.',
    )
  }
  if (typeof value === 'object' && value !== null) {
    for (const [key, item] of Object.entries(value)) {
      refuseUnstorable(key)
      refuseUnstorable(item)
    }
  }
}

function isWellFormed(text: string): boolean {
  return !/\p{Surrogate}/u.test(text)
}
