import { fileURLToPath } from 'node:url'
import { type ApiClient, createClient } from '../../src/client/client.ts'
import type { Run } from '../../src/client/openapi.ts'
import { getRun, type RunOptions, startRun } from '../../src/client/runs.ts'
import type { Child } from '../../tools/processes/child.ts'
import { listens, startService } from '../../tools/processes/service.ts'

const jobsDir = fileURLToPath(new URL('./jobs', import.meta.url))

/** evenkeel as `npm start` starts it, beside a standby that it has to find by itself. */
export class Service {
  readonly #child: Child
  readonly #url: string
  readonly #client: ApiClient

  private constructor(child: Child, url: string) {
    this.#child = child
    this.#url = url
    this.#client = createClient({ url })
  }

  static async start(databaseUrl: string, schema: string): Promise<Service> {
    const child = startService({
      DATABASE_URL: databaseUrl,
      CONTROL_SCHEMA: schema,
      JOBS_DIR: jobsDir,
      REPLICAS: 'auto',
      PORT: '0',
    })
    try {
      return new Service(child, await listens(child))
    } catch (error) {
      await child.kill()
      throw error
    }
  }

  /** Rejects when it ends by itself. */
  get failure(): Promise<never> {
    return this.#child.failure
  }

  /** Returns the run's id. */
  async run(job: string, options: RunOptions = {}): Promise<string> {
    return (await startRun(this.#client, { job, options })).id
  }

  find(id: string): Promise<Run> {
    return getRun(this.#client, id)
  }

  /** Every series of /metrics, by its name and labels as they stand there. */
  async metrics(): Promise<ReadonlyMap<string, number>> {
    const response = await fetch(new URL('/metrics', this.#url))
    if (!response.ok) throw new Error(`/metrics was answered with ${response.status}`)
    const lines = (await response.text()).split('\n').filter((line) => line !== '' && !line.startsWith('#'))
    return new Map(
      lines.map((line) => {
        const end = line.lastIndexOf(' ')
        return [line.slice(0, end), Number(line.slice(end + 1))]
      }),
    )
  }

  kill(): Promise<void> {
    return this.#child.kill()
  }
}
