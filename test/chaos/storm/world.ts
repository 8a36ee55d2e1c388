import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { type EmbeddedPostgres, type EmbeddedRedis, startPostgres, startRedis } from '../../../src/embedded/index.ts'
import { TcpProxy } from '../../support/proxy.ts'
import { createTables, type StormJob, writeJobs } from './jobs.ts'
import { Member } from './member.ts'
import { Snare } from './snare.ts'

export type QueueKind = 'postgres' | 'redis'

/** How many workers there are; each has four slots. One is there to take over from the other. */
export const workerCount = 2
const callWithinMs = 8000

export interface StormRun {
  readonly id: string
  readonly job: StormJob
}

interface Parts {
  readonly queue: QueueKind
  /** What each process runs. */
  readonly program: string
  /** Logs, and the jobs. */
  readonly folder: string
  readonly postgres: EmbeddedPostgres
  readonly redis: EmbeddedRedis | null
  /** Between the service and its servers. We are behind neither. */
  readonly databaseProxy: TcpProxy
  readonly redisProxy: TcpProxy | null
  readonly snare: Snare
}

/** All that the storm can break: a Postgres and a queue of its own, each behind a proxy, and the service's processes. */
export class World {
  readonly parts: Parts
  readonly pool: pg.Pool
  readonly api: Member
  readonly workers: readonly Member[]
  /** Those of the round. */
  runs: readonly StormRun[] = []

  private constructor(parts: Parts) {
    const { program, folder, postgres, databaseProxy, redisProxy } = parts
    this.parts = parts
    this.pool = new pg.Pool({ connectionString: postgres.url, max: 4, application_name: 'storm' })
    this.pool.on('error', () => undefined)
    this.pool.on('connect', (client) => client.on('error', () => undefined))
    const member = (name: string, role: string) =>
      new Member(name, program, folder, {
        TEST_TIER: process.env.TEST_TIER ?? '',
        ROLE: role,
        DATABASE_URL: databaseProxy.url,
        ...(redisProxy && { REDIS_URL: redisProxy.url }),
        REPLICAS: 'none',
        JOBS_DIR: join(folder, 'jobs'),
        PORT: '0',
      })
    this.api = member('api', 'api')
    this.workers = Array.from({ length: workerCount }, (_, index) => member(`worker ${index}`, 'worker'))
  }

  static async create(queue: QueueKind, program: string): Promise<World> {
    const folder = await mkdtemp(join(tmpdir(), 'evenkeel-chaos-'))
    await mkdir(join(folder, 'jobs'))
    await writeJobs(join(folder, 'jobs'))
    const [postgres, redis] = await Promise.all([
      startPostgres({ settings: { track_commit_timestamp: 'on' } }),
      queue === 'redis' ? startRedis() : null,
    ])
    const snare = new Snare()
    const databaseProxy = new TcpProxy(postgres.url, (message, connection) => snare.judge(message, connection))
    const redisProxy = redis && new TcpProxy(redis.url)
    await Promise.all([databaseProxy.listen(), redisProxy?.listen()])
    const world = new World({ queue, program, folder, postgres, redis, databaseProxy, redisProxy, snare })
    try {
      await createTables(world.pool)
      // It makes the schemas; the others would only stand in its way.
      await world.api.start()
      await world.startAll()
      return world
    } catch (error) {
      await world.close()
      throw error
    }
  }

  get members(): readonly Member[] {
    return [this.api, ...this.workers]
  }

  /** Starts every process that does not run. */
  async startAll(): Promise<void> {
    await Promise.all(this.members.map((member) => member.start()))
  }

  /** Rows of a query of ours, which goes to Postgres directly. */
  async query<R extends pg.QueryResultRow>(text: string, values: readonly unknown[] = []): Promise<R[]> {
    return (await this.pool.query<R>(text, [...values])).rows
  }

  /** A call to the API. Throws what it was refused with, and when there is nobody to call. */
  async call<T>(method: string, path: string, body?: object, headers: Record<string, string> = {}): Promise<T> {
    if (this.api.url === null) throw new Error('the API does not listen')
    const response = await fetch(new URL(path, this.api.url), {
      method,
      headers: { ...headers, ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(callWithinMs),
    })
    const answer = (await response.json()) as T & { detail?: string }
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${answer.detail}`)
    return answer
  }

  /** Ends everything; the logs stay where they are wanted. */
  async close({ keepLogs = false } = {}): Promise<void> {
    const { folder, postgres, redis, databaseProxy, redisProxy } = this.parts
    await Promise.all(this.members.map((member) => member.close()))
    await Promise.all([this.pool.end(), databaseProxy.close(), redisProxy?.close()])
    await Promise.all([postgres.stop(), redis?.stop()])
    if (!keepLogs) await rm(folder, { recursive: true, force: true })
  }
}
