import type { z } from 'zod'
import type { DryRunReport } from '../../runs/dry-run.ts'
import type { eventSchema, rangeSchema } from '../../runs/record-schemas.ts'
import type { RunView } from '../../runs/run-schema.ts'

export type { DryRunReport, RunView }
export type EventBody = z.output<typeof eventSchema>
export type RangeBody = z.output<typeof rangeSchema>

/** The calls of the demo, as anybody's script would make them. */
export class Client {
  readonly #url: string
  readonly #secret: string
  readonly #signal: AbortSignal

  constructor(url: string, secret: string, signal: AbortSignal) {
    this.#url = url
    this.#secret = secret
    this.#signal = signal
  }

  dryRun(body: object): Promise<DryRunReport> {
    return this.#call('POST', '/runs', { ...body, dryRun: true })
  }

  start(body: object): Promise<RunView> {
    return this.#call('POST', '/runs', body)
  }

  run(id: string): Promise<RunView> {
    return this.#call('GET', `/runs/${id}`)
  }

  tell(id: string, what: 'pause' | 'resume', reason?: string): Promise<RunView> {
    return this.#call('POST', `/runs/${id}/${what}`, { reason })
  }

  change(id: string, options: object): Promise<RunView> {
    return this.#call('PATCH', `/runs/${id}`, options)
  }

  async ranges(id: string): Promise<RangeBody[]> {
    return (await this.#call<{ ranges: RangeBody[] }>('GET', `/runs/${id}/ranges`)).ranges
  }

  async events(id: string): Promise<EventBody[]> {
    return (await this.#call<{ events: EventBody[] }>('GET', `/runs/${id}/events`)).events
  }

  async #call<T>(method: string, path: string, body?: object): Promise<T> {
    const response = await fetch(new URL(path, this.#url), {
      method,
      headers: {
        authorization: `Bearer ${this.#secret}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: AbortSignal.any([this.#signal, AbortSignal.timeout(30_000)]),
    })
    if (response.ok) return (await response.json()) as T
    const { detail } = (await response.json().catch(() => ({}))) as { detail?: string }
    throw new Error(`${method} ${path} was answered with ${response.status}: ${detail ?? response.statusText}`)
  }
}
