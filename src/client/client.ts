import createFetchClient, { type Client } from 'openapi-fetch'
import { ApiError } from './error.ts'
import type { paths } from './openapi.ts'

/** The calls that openapi.json describes: `client.GET('/runs/{id}', { params: { path: { id } } })`. */
export type ApiClient = Client<paths>

export interface ClientOptions {
  /** Where the service listens. */
  readonly url: string
  /** The secret of a bearer token; absent where the service asks for none. */
  readonly token?: string
  /** Sent with every call. */
  readonly headers?: Readonly<Record<string, string>>
  /** Ends every call. */
  readonly signal?: AbortSignal
  /** How long a call may take. Absent: as long as the service takes. Milliseconds. */
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

/** The body of a successful answer. Throws an ApiError when the answer is no success. */
export async function bodyOf<Body>(
  call: Promise<{ readonly data?: Body; readonly error?: unknown; readonly response: Response }>,
): Promise<Body> {
  const { data, error, response } = await call
  if (!response.ok) throw new ApiError(response, error)
  return data as Body
}
