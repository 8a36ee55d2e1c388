import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { type ApiClient, createClient } from '../../src/client/client.ts'
import type { Run } from '../../src/client/openapi.ts'
import { getRun, listEvents, startRun } from '../../src/client/runs.ts'
import type { Child } from '../../tools/processes/child.ts'
import { listens, startService } from '../../tools/processes/service.ts'
import type { Afterwards, Backfill } from './backfill.ts'
import { type Sample, steadyRate } from './steady.ts'

const jobsDir = fileURLToPath(new URL('../jobs', import.meta.url))
const job = 'orders-net'
const pollMs = 100

export interface ServiceOptions {
  readonly databaseUrl: string
  /** Where tickets are; null: in the database. */
  readonly redisUrl: string | null
  /** All that a run is told. Its pace is on. */
  readonly workers: number
}

/** evenkeel by its whole way: the service as `npm start` starts it, a run over HTTP, tickets, checkpoints, pace, metrics. */
export class ServiceProcess implements Backfill {
  readonly #child: Child
  readonly #client: ApiClient
  readonly #workers: number
  readonly #samples: Sample[] = []
  #run = ''

  private constructor(child: Child, url: string, workers: number) {
    this.#child = child
    this.#client = createClient({ url })
    this.#workers = workers
  }

  static async start({ databaseUrl, redisUrl, workers }: ServiceOptions): Promise<ServiceProcess> {
    const child = startService({
      DATABASE_URL: databaseUrl,
      ...(redisUrl === null ? {} : { REDIS_URL: redisUrl }),
      JOBS_DIR: jobsDir,
      REPLICAS: 'none',
      PORT: '0',
    })
    try {
      return new ServiceProcess(child, await listens(child), workers)
    } catch (error) {
      await child.kill()
      throw error
    }
  }

  get pid(): number {
    return this.#child.process.pid as number
  }

  get failure(): Promise<never> {
    return this.#child.failure
  }

  /** From the request that starts the run to the moment from which it reads `verifying`, by the run's own event. */
  async write(): Promise<number> {
    const began = Date.now()
    this.#run = (await startRun(this.#client, { job, options: { parallelism: this.#workers } })).id
    await this.#until(['verifying', 'succeeded'])
    return (Date.parse(await this.#lastEvent('verify')) - began) / 1000
  }

  async afterwards(): Promise<Afterwards> {
    const { endedAt } = await this.#until(['succeeded'])
    const checkMs = Date.parse(endedAt as string) - Date.parse(await this.#lastEvent('verify'))
    return { steadyRowsPerSecond: steadyRate(this.#samples), checkSeconds: checkMs / 1000 }
  }

  kill(): Promise<void> {
    return this.#child.kill()
  }

  async #until(statuses: readonly string[]): Promise<Run> {
    for (;;) {
      const run = await getRun(this.#client, this.#run)
      if (statuses.includes(run.status)) return run
      if (!['queued', 'running', 'verifying'].includes(run.status))
        throw new Error(`the run is ${run.status}: ${run.reason}`)
      if (run.status === 'running')
        this.#samples.push({ at: performance.now(), rows: run.progress.rowsDone, held: run.throttle !== null })
      await sleep(pollMs)
    }
  }

  /** When it happened. */
  async #lastEvent(kind: string): Promise<string> {
    const events = await listEvents(this.#client, this.#run)
    const event = events.findLast((each) => each.kind === kind)
    if (!event) throw new Error(`the run has no event ${kind}`)
    return event.at
  }
}
