import type { Problem } from './openapi.ts'

/** An answer that is no success, with what the service says of it (RFC 9457). */
export class ApiError extends Error {
  readonly status: number
  readonly detail: string
  /** What does not fit of the request. */
  readonly errors: NonNullable<Problem['errors']>

  constructor(response: Response, body: unknown) {
    const problem = isProblem(body) ? body : null
    // What stands between us and the service answers in its own words.
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
