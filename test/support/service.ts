import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pino } from 'pino'
import { inject, onTestFinished } from 'vitest'
import { type ApiClient, createClient } from '../../src/client/client.ts'
import type { Event, Range, Run } from '../../src/client/openapi.ts'
import { getRun, listEvents, listRanges, type StartRun, startRun } from '../../src/client/runs.ts'
import { readConfig } from '../../src/config.ts'
import { signalNames } from '../../src/core/throttle/signal.ts'
import type { Timings } from '../../src/core/timings.ts'
import { type Service, startService } from '../../src/service/service.ts'
import type { TestDatabase } from './database.ts'
import type { Gate } from './gate.ts'
import { testKinds } from './kinds/kinds.ts'
import { limits } from './tier.ts'
import { timingsOf } from './timings.ts'
import { until } from './until.ts'

/** The queue this project of the tests is on. */
export const queueKind = process.env.TEST_QUEUE === 'redis' ? 'redis' : 'postgres'

/** A jobs folder with these files (name to source), removed when the test ends. */
export async function jobsFolder(files: Readonly<Record<string, string>>): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'evenkeel-jobs-'))
  onTestFinished(() => rm(folder, { recursive: true, force: true }))
  for (const [name, source] of Object.entries(files)) await writeFile(join(folder, name), source)
  return folder
}

/**
 * What tests of other things than pace run with. The tests share one Postgres, and to each of them the others are what a
 * run gives way to.
 */
export const unpaced = { signals: Object.fromEntries(signalNames.map((name) => [name, false])) }

/**
 * The source of a job file whose `where` and `set` are given as source, too. Unless it has options of its own, no signal
 * counts for it.
 */
export function jobSource(job: { name: string; table: string; rest: string; paced?: boolean }): string {
  const options = job.paced || /\boptions:/.test(job.rest) ? '' : `options: ${JSON.stringify(unpaced)}, `
  return `import { defineJob, sql } from 'evenkeel'
import { z } from 'zod'
export default defineJob({ name: ${JSON.stringify(job.name)}, table: ${JSON.stringify(job.table)}, ${options}${job.rest} })
`
}

function environment(database: Pick<TestDatabase, 'url'>, jobsDir: string, extra: Readonly<Record<string, string>>) {
  const redisUrl = inject('redisUrl')
  return {
    DATABASE_URL: database.url,
    REPLICAS: 'none',
    ...(redisUrl ? { REDIS_URL: redisUrl } : {}),
    JOBS_DIR: jobsDir,
    PORT: '0',
    // Tests look again and again; what there is of limits has tests of its own.
    API_CALLS_PER_SECOND: '10000',
    LOG_LEVEL: process.env.TEST_LOG ?? 'silent',
    TEST_TIER: process.env.TEST_TIER ?? '',
    ...extra,
  }
}

export interface Answer<T> {
  readonly status: number
  readonly headers: Headers
  readonly body: T
}

/** A service and the calls one makes to it. */
export class Client {
  readonly url: string
  readonly headers: Record<string, string>
  /** The calls that fit the description. */
  readonly api: ApiClient

  constructor(url: string, headers: Record<string, string> = {}) {
    this.url = url
    this.headers = headers
    this.api = createClient({ url, headers })
  }

  /** Any call, also one that the description has no place for. */
  async call<T = Run>(
    method: string,
    path: string,
    body?: unknown,
    headers: Record<string, string> = {},
  ): Promise<Answer<T>> {
    const response = await fetch(new URL(path, this.url), {
      method,
      headers: { ...this.headers, ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
    const text = await response.text()
    const json = /json/.test(response.headers.get('content-type') ?? '')
    return { status: response.status, headers: response.headers, body: (json ? JSON.parse(text) : text) as T }
  }

  /** Starts a run and returns its id; throws the problem's words when it is refused. */
  async start(job: string, rest: Omit<StartRun, 'job'> = {}): Promise<string> {
    return (await startRun(this.api, { job, ...rest })).id
  }

  run(id: string): Promise<Run> {
    return getRun(this.api, id)
  }

  events(id: string): Promise<Event[]> {
    return listEvents(this.api, id)
  }

  ranges(id: string): Promise<Range[]> {
    return listRanges(this.api, id)
  }

  /** Waits until a run reads one of these statuses. Fails at once when it has ended otherwise. */
  async reaches(id: string, statuses: readonly string[], seconds = limits.wait): Promise<Run> {
    const ended = ['succeeded', 'failed', 'cancelled']
    const run = await until(
      `run ${id} to be ${statuses.join(' or ')}`,
      () => this.run(id),
      (now) => statuses.includes(now.status) || ended.includes(now.status),
      seconds,
    )
    if (!statuses.includes(run.status)) throw new Error(`run ${id} is ${run.status}: ${run.reason}`)
    return run
  }
}

/** A service inside the test's own process; its workers wait where the gate is shut. */
export async function startInProcess(
  database: Pick<TestDatabase, 'url'>,
  jobsDir: string,
  extra: Readonly<Record<string, string>> = {},
  gate?: Gate,
): Promise<Client & { service: Service }> {
  const env = environment(database, jobsDir, extra)
  const timings = timingsOf(env.TEST_TIER)
  const config = { ...readConfig(env), timings, kinds: testKinds, ...(gate && { observe: gate.observe }) }
  const service = await startService({ ...config, databaseUrl: database.url }, pino({ level: config.logLevel }))
  onTestFinished(() => {
    gate?.open()
    return service.close()
  })
  return Object.assign(new Client(service.url), { service })
}

/** A service inside the test's own process, with some durations of its own. */
export async function startWithTimings(
  database: Pick<TestDatabase, 'url'>,
  jobsDir: string,
  change: Partial<Timings>,
): Promise<Client & { service: Service }> {
  const env = environment(database, jobsDir, {})
  const config = { ...readConfig(env), timings: { ...timingsOf(env.TEST_TIER), ...change } }
  const service = await startService({ ...config, databaseUrl: database.url }, pino({ level: config.logLevel }))
  onTestFinished(() => service.close())
  return Object.assign(new Client(service.url), { service })
}

/** A service inside the test's own process that works on several databases, each under its name. */
export async function startOnDatabases(
  databases: Readonly<Record<string, Pick<TestDatabase, 'url'>>>,
  jobsDir: string,
  extra: Readonly<Record<string, string>> = {},
): Promise<Client & { service: Service }> {
  const named = Object.entries(databases).map(([name, { url }]) => `${name}=${url}`)
  const { DATABASE_URL: _, ...rest } = environment({ url: '' }, jobsDir, { DATABASES: named.join(','), ...extra })
  const config = { ...readConfig(rest), timings: timingsOf(rest.TEST_TIER) }
  const service = await startService(config, pino({ level: config.logLevel }))
  onTestFinished(() => service.close())
  return Object.assign(new Client(service.url), { service })
}

/** For a service that is to lose no lease and cut no slice short, however busy the machine is: the timings of the product. */
export const patient = { TEST_TIER: 'nightly' }

/** A process of the service, to be killed, whether or not it has come so far as to serve. */
export interface SpawnedProcess {
  readonly process: ChildProcess
  /** What it has written so far, to its log and to its standard error. */
  output(): string
  /** Its exit code, once it is gone; null where a signal ended it. */
  readonly ended: Promise<number | null>
  /** SIGKILL, and wait until it is gone. */
  kill(): Promise<void>
}

/** A service as a process of its own, to be killed. */
export interface SpawnedService extends SpawnedProcess {
  readonly client: Client
}

export function spawnProcess(
  database: Pick<TestDatabase, 'url'>,
  jobsDir: string,
  extra: Readonly<Record<string, string>> = {},
): SpawnedProcess {
  const child = spawn(process.execPath, [inject('programs').shortened], {
    env: { PATH: process.env.PATH ?? '', ...environment(database, jobsDir, { LOG_LEVEL: 'info', ...extra }) },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  child.stdout?.on('data', (chunk) => {
    output += chunk
  })
  child.stderr?.on('data', (chunk) => {
    output += chunk
  })
  const ended = new Promise<number | null>((resolve) => child.once('exit', (code) => resolve(code)))
  const kill = async () => {
    child.kill('SIGKILL')
    await ended
  }
  onTestFinished(kill)
  return { process: child, output: () => output, ended, kill }
}

export async function spawnService(
  database: Pick<TestDatabase, 'url'>,
  jobsDir: string,
  extra: Readonly<Record<string, string>> = {},
): Promise<SpawnedService> {
  const spawned = spawnProcess(database, jobsDir, extra)
  const url = await until(
    'the service to listen',
    () => {
      if (spawned.process.exitCode !== null)
        throw new Error(`it ended with ${spawned.process.exitCode}: ${spawned.output()}`)
      return /"url":"(http[^"]+)"/.exec(spawned.output())?.[1]
    },
    (found) => found !== undefined,
    60,
  )
  return { ...spawned, client: new Client(url as string) }
}
