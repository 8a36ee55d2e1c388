import type { Problem } from './openapi.ts'

/** A response that is not a success, with the service's problem details (RFC 9457). */
export class ApiError extends Error {
  readonly status: number
  readonly detail: string
  /** Fields of the request that do not fit. */
  readonly errors: NonNullable<Problem['errors']>

  constructor(response: Response, body: unknown) {
    const problem = isProblem(body) ? body : null
    // A proxy in front of the service answers with a body of its own.
    const detail = problem?.detail ?? response.statusText
    super(`${new URL(response.url).pathname} was answered with ${response.status}: ${detail}`)
    this.name = 'ApiError'
    this.status = response.status
    this.detail = detail
    this.errors = problem?.errors ?? []
  }
}

function isProblem(body: unknown): body is Problem {
  return typeof body === 'object' && body !== null && 'detail' in body && typeof body.detail === 'string'
}
