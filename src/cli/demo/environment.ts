import { randomBytes } from 'node:crypto'
import { copyFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import pg from 'pg'
import { type EmbeddedPostgres, startPostgres } from '../../embedded/index.ts'
import { Client } from './client.ts'
import { removeTickets } from './leftovers.ts'
import { seconds } from './messages.ts'
import { type ServiceProcess, ServiceProcesses } from './processes.ts'
import type { Screen } from './screen.ts'

/** The service as the demo sees it. */
export interface RunningService {
  readonly processes: ServiceProcesses
  readonly workers: ServiceProcess[]
  readonly client: Client
}

/** Database and processes of a demo. They exist as long as it runs, and end with it in any case. */
export class Environment {
  readonly screen: Screen
  readonly signal: AbortSignal
  /** Clean-up steps, the last one first. */
  readonly #undo: Array<() => Promise<unknown>> = []
  #processes: ServiceProcesses | null = null
  #logFile: string | null = null

  constructor(screen: Screen, signal: AbortSignal) {
    this.screen = screen
    this.signal = signal
  }

  /** The last lines of the service's output. */
  get tail(): readonly string[] {
    return this.#processes?.tail ?? []
  }

  onEnd(undo: () => Promise<unknown>): void {
    this.#undo.push(undo)
  }

  /** Runs all clean-up steps, even if some fail. */
  async close(): Promise<void> {
    for (const step of this.#undo.splice(0).reverse()) await step().catch(() => {})
  }

  /** Runs a step that takes a while, and prints what it was and how long it took. */
  async timed<T>(what: string, work: () => Promise<T>): Promise<T> {
    const start = performance.now()
    const result = await work()
    const more = typeof result === 'string' ? `: ${result}` : ''
    this.screen.fact(`${what}${more} ${this.screen.dim(`(${seconds((performance.now() - start) / 1000)})`)}`)
    this.signal.throwIfAborted()
    return result
  }

  async startPostgres(): Promise<EmbeddedPostgres> {
    return this.timed('Postgres runs in a temporary folder', async () => {
      const postgres = await startPostgres()
      this.onEnd(() => postgres.stop())
      this.#logFile = join(dirname(postgres.logFile), 'demo.log')
      return postgres
    })
  }

  /** A few sessions for the demo itself. */
  connect(connectionString: string): pg.Pool {
    const pool = new pg.Pool({ connectionString, max: 2, application_name: 'evenkeel demo' })
    pool.on('error', () => {})
    this.onEnd(() => pool.end())
    return pool
  }

  /** Starts the API and two workers, on this database and on the user's Redis if there is one. */
  async startService(postgres: EmbeddedPostgres, pool: pg.Pool, replicas: 'auto' | 'none'): Promise<RunningService> {
    const secret = randomBytes(24).toString('base64url')
    const redisUrl = process.env.REDIS_URL
    const processes = new ServiceProcesses(this.#logFile as string, {
      DATABASE_URL: postgres.url,
      REPLICAS: replicas,
      API_TOKENS: `you:operate:${secret}`,
      ...(redisUrl ? { REDIS_URL: redisUrl } : {}),
    })
    this.#processes = processes
    if (redisUrl) this.onEnd(() => removeTickets(redisUrl, pool))
    this.onEnd(() => processes.stop())
    const { api, workers } = await this.timed('the service runs', async () => {
      const api = await processes.start('api', 'API', this.signal)
      const workers = await Promise.all(
        [1, 2].map((number) => processes.start('worker', `worker ${number}`, this.signal)),
      )
      return { api, workers }
    })
    for (const { name, pid, url } of [api, ...workers]) this.screen.fact(this.screen.dim(`${name}: pid ${pid}, ${url}`))
    return { processes, workers, client: new Client(api.url, secret, this.signal) }
  }

  /** Keeps the service's log for the user: its folder is removed with Postgres. */
  async keepLog(): Promise<string | null> {
    if (this.#logFile === null || this.#processes === null) return null
    const kept = join(tmpdir(), `evenkeel-demo-${process.pid}.log`)
    try {
      await copyFile(this.#logFile, kept)
      return kept
    } catch {
      return null
    }
  }
}
