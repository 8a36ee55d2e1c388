import createFetchClient, { type Client } from 'openapi-fetch'
import { ApiError } from './error.ts'
import type { paths } from './openapi.ts'

/** The calls of openapi.json: `client.GET('/runs/{id}', { params: { path: { id } } })`. */
export type ApiClient = Client<paths>

export interface ClientOptions {
  /** Base URL of the service. */
  readonly url: string
  /** Secret of a bearer token. Absent if the service needs none. */
  readonly token?: string
  /** Sent with every call. */
  readonly headers?: Readonly<Record<string, string>>
  /** Aborts every call. */
  readonly signal?: AbortSignal
  /** Time limit of a call in milliseconds. Absent: no limit. */
  readonly timeoutMs?: number
}

export function createClient({ url, token, headers, signal, timeoutMs }: ClientOptions): ApiClient {
  return createFetchClient<paths>({
    baseUrl: url,
    headers: { ...headers, ...(token === undefined ? {} : { authorization: `Bearer ${token}` }) },
    fetch(request) {
      const timeout = timeoutMs === undefined ? [] : [AbortSignal.timeout(timeoutMs)]
      return fetch(request, { signal: AbortSignal.any([request.signal, ...(signal ? [signal] : []), ...timeout]) })
    },
  })
}

/** Body of a successful response. Throws an ApiError for any other. */
export async function bodyOf<Body>(
  call: Promise<{ readonly data?: Body; readonly error?: unknown; readonly response: Response }>,
): Promise<Body> {
  const { data, error, response } = await call
  if (!response.ok) throw new ApiError(response, error)
  return data as Body
}
