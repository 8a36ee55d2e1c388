import { type ApiClient, bodyOf, createClient } from '../../client/client.ts'
import type { DryRun, Event, Range, Run } from '../../client/openapi.ts'
import {
  changeOptions,
  dryRun,
  getRun,
  listEvents,
  listRanges,
  type RunOptions,
  type StartRun,
  startRun,
} from '../../client/runs.ts'

export type { DryRun as DryRunReport, Event as EventBody, Run as RunView }

/** The API calls of the demo, as any script would make them. */
export class Client {
  readonly #api: ApiClient

  constructor(url: string, token: string, signal: AbortSignal) {
    this.#api = createClient({ url, token, signal, timeoutMs: 30_000 })
  }

  dryRun(body: StartRun): Promise<DryRun> {
    return dryRun(this.#api, body)
  }

  start(body: StartRun): Promise<Run> {
    return startRun(this.#api, body)
  }

  run(id: string): Promise<Run> {
    return getRun(this.#api, id)
  }

  tell(id: string, what: 'pause' | 'resume', reason?: string): Promise<Run> {
    const body = reason === undefined ? {} : { reason }
    return bodyOf(this.#api.POST(`/runs/{id}/${what}`, { params: { path: { id } }, body }))
  }

  change(id: string, options: RunOptions): Promise<Run> {
    return changeOptions(this.#api, id, options)
  }

  ranges(id: string): Promise<Range[]> {
    return listRanges(this.#api, id)
  }

  events(id: string): Promise<Event[]> {
    return listEvents(this.#api, id)
  }
}
