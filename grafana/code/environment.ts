import { fileURLToPath } from 'node:url'
import pg from 'pg'
import { type ApiClient, bodyOf, createClient } from '../../src/client/client.ts'
import type { Run } from '../../src/client/openapi.ts'
import { changeOptions, getRun, type RunOptions, startRun } from '../../src/client/runs.ts'
import { startPostgres, startStandby } from '../../src/embedded/index.ts'
import { freePort } from '../../src/embedded/port.ts'
import type { Child } from '../../tools/processes/child.ts'
import { listens, startService } from '../../tools/processes/service.ts'
import { until } from '../../tools/until.ts'

const jobsDir = fileURLToPath(new URL('jobs', import.meta.url))

/** Takes what is to be stopped in the end, the last first. */
export type Keep = (stop: () => Promise<void>) => void

export const processes = ['api', 'worker-1', 'worker-2'] as const
export type ProcessName = (typeof processes)[number]

/** What the API is asked for here. */
export class Api {
  readonly client: ApiClient

  constructor(url: string) {
    this.client = createClient({ url })
  }

  /** Returns the run's id. */
  async start(job: string, options: RunOptions): Promise<string> {
    return (await startRun(this.client, { job, options })).id
  }

  async change(id: string, options: RunOptions): Promise<void> {
    await changeOptions(this.client, id, options)
  }

  async tell(id: string, what: 'pause' | 'resume' | 'retry'): Promise<void> {
    await bodyOf(this.client.POST(`/runs/{id}/${what}`, { params: { path: { id } } }))
  }

  /** Waits until a run is as it should be. */
  reaches(id: string, what: string, met: (run: Run) => boolean, seconds = 60): Promise<Run> {
    return until(`run ${id} to be ${what}`, () => getRun(this.client, id), met, seconds)
  }

  /** Waits until it has done more rows than now. */
  async moves(id: string): Promise<void> {
    const { rowsDone } = (await getRun(this.client, id)).progress
    await this.reaches(id, 'moving', ({ progress }) => progress.rowsDone > rowsDone)
  }
}

/** A primary that archives, a standby and a slot, three tables, an API and two workers. */
export class Environment {
  readonly api: Api
  readonly urls: Readonly<Record<ProcessName, string>>
  readonly #primaryUrl: string
  readonly #standbyUrl: string
  readonly #running = new Map<ProcessName, Child>()

  private constructor(primaryUrl: string, standbyUrl: string, urls: Readonly<Record<ProcessName, string>>) {
    this.#primaryUrl = primaryUrl
    this.#standbyUrl = standbyUrl
    this.urls = urls
    this.api = new Api(urls.api)
  }

  static async create(rows: number, keep: Keep): Promise<Environment> {
    const primary = await startPostgres({ settings: { archive_mode: 'on', archive_command: 'true' } })
    keep(() => primary.stop())
    await ask(primary.url, tables(rows))
    const standby = await startStandby(primary, { name: 'standby-1' })
    keep(() => standby.stop())
    const urls: Record<string, string> = {}
    for (const name of processes) urls[name] = `http://127.0.0.1:${await freePort()}`
    const environment = new Environment(primary.url, standby.url, urls as Record<ProcessName, string>)
    keep(async () => {
      for (const child of environment.#running.values()) await child.kill()
    })
    // One after the other: the first makes the control schema.
    for (const name of processes) await environment.start(name)
    return environment
  }

  async start(name: ProcessName): Promise<void> {
    const child = startService({
      DATABASE_URL: this.#primaryUrl,
      DATABASE_CORES: '2',
      REPLICAS: 'auto',
      REPLICA_URLS: this.#standbyUrl,
      JOBS_DIR: jobsDir,
      API_CALLS_PER_SECOND: '1000',
      ROLE: name === 'api' ? 'api' : 'worker',
      PORT: new URL(this.urls[name]).port,
    })
    this.#running.set(name, child)
    await listens(child)
  }

  /** SIGKILL. */
  async kill(name: ProcessName): Promise<void> {
    await this.#running.get(name)?.kill()
  }

  /** Replay is an operator's to pause: to the run it is a standby that has become slow. */
  async replay(what: 'pause' | 'resume'): Promise<void> {
    await ask(this.#standbyUrl, `SELECT pg_wal_replay_${what}()`)
  }

  /** Others have a row in a hundred of those that are still to do, until the returned function is called. */
  async lockSome(): Promise<() => Promise<void>> {
    const session = new pg.Client({ connectionString: this.#primaryUrl })
    await session.connect()
    await session.query('BEGIN; SELECT FROM orders WHERE each IS NULL AND id % 100 = 0 FOR UPDATE')
    return () => session.end()
  }

  async mendPrices(): Promise<void> {
    await ask(this.#primaryUrl, "UPDATE prices SET price = '0' WHERE price = 'none'")
  }
}

/** Six orders have no pieces, and one price is none. */
function tables(rows: number): string {
  return `
    CREATE TABLE orders AS
      SELECT id, (id % 1000)::int AS net, CASE WHEN id % (${rows} / 6) = 1000 THEN 0 ELSE 3 END AS pieces, NULL::int AS each
      FROM generate_series(1::bigint, ${rows}) AS id;
    CREATE TABLE users AS
      SELECT id, 'Ada' AS first_name, 'Number ' || id AS last_name, NULL AS full_name
      FROM generate_series(1::bigint, ${rows}) AS id;
    CREATE TABLE prices AS
      SELECT id, CASE id WHEN ${rows} / 20 THEN 'none' ELSE '9.50' END AS price, NULL::int AS cents
      FROM generate_series(1::bigint, ${rows} / 10) AS id;
    ALTER TABLE orders ADD PRIMARY KEY (id);
    ALTER TABLE users ADD PRIMARY KEY (id);
    ALTER TABLE prices ADD PRIMARY KEY (id);
    ANALYZE;
    SELECT pg_create_physical_replication_slot('warehouse', true)`
}

async function ask(url: string, text: string): Promise<void> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  await client.query(text).finally(() => client.end())
}
