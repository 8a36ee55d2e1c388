import { hostname } from 'node:os'
import { buildApp } from './api/app.ts'
import { type Catalogue, openCatalogue } from './catalogue/catalogue.ts'
import type { Config } from './config.ts'
import { messageOf, Problem } from './core/errors.ts'
import { runStatuses } from './core/run.ts'
import { engineSettings } from './engine/session.ts'
import { openQueue, prepareQueue, type QueueLocation, type TicketQueueOptions } from './queue/tickets.ts'
import { openSampling } from './sampling.ts'
import { createControl, createPool } from './store/control.ts'
import { readInstance } from './store/instance.ts'
import { migrate } from './store/migrate.ts'
import { readPace } from './store/pace.ts'
import { listLiveCheckpoints } from './store/ranges.ts'
import { countRunsByStatus, listWorkableRuns } from './store/runs.ts'
import type { Logger } from './telemetry/logger.ts'
import { createMetrics } from './telemetry/metrics.ts'
import { PaceKeeper } from './worker/pace.ts'
import { startWorker } from './worker/worker.ts'

/** Tickets that one process works on at once. */
const slots = 4

const controlSettings = { lock_timeout: '10s', statement_timeout: '30s', idle_in_transaction_session_timeout: '30s' }

export interface Service {
  /** Where the API, or a worker's health, is. */
  readonly url: string
  /** Stops taking work, ends each batch in flight, gives ranges back, and closes every connection. */
  close(): Promise<void>
}

/** One process of evenkeel: its parts, put together by role. */
export async function startService(config: Config & { readonly databaseUrl: string }, log: Logger): Promise<Service> {
  const name = `${hostname()}-${process.pid}`
  const broke = (error: Error) => log.warn({ err: error }, 'a connection to Postgres broke; the pool replaces it')
  const controlPool = createPool(
    config.databaseUrl,
    { name: 'evenkeel control', max: 6, settings: controlSettings, queryTimeoutMs: 45_000 },
    broke,
  )
  const engine = createPool(
    config.databaseUrl,
    { name: 'evenkeel engine', max: slots + 2, settings: engineSettings, queryTimeoutMs: 20_000 },
    broke,
  )
  const control = createControl(controlPool, config.controlSchema)
  const location: QueueLocation = config.redisUrl
    ? { kind: 'redis', url: config.redisUrl }
    : { kind: 'postgres', url: config.databaseUrl, schema: `${config.controlSchema}_queue` }
  try {
    await migrate(control)
    await prepareQueue(location)
  } catch (error) {
    await Promise.all([controlPool.end(), engine.end()])
    if (error instanceof Problem) throw error
    throw new Problem(
      'unavailable',
      `The database cannot be used: ${messageOf(error)}. Check DATABASE_URL, that Postgres runs, and that the role may create schemas in it, or owns ${config.controlSchema} and ${config.controlSchema}_queue.`,
      {},
      { cause: error },
    )
  }

  const queueOptions: TicketQueueOptions = {
    location,
    instance: await readInstance(control),
    onError: (error) => log.warn({ err: error }, 'the queue reports an error; tickets wait until it is back'),
  }
  const queue = openQueue(queueOptions)
  const sampling = openSampling(config, control, broke)
  const sampler =
    config.role === 'api'
      ? null
      : sampling.startSampler((signal, error) => log.warn({ err: error, signal }, 'a signal cannot be read'))
  const metrics = createMetrics({
    statuses: runStatuses,
    runsByStatus: () => countRunsByStatus(control),
    queueDepth: () => queue.depth(),
    liveCheckpoints: () => listLiveCheckpoints(control),
    signals: () => pace?.measured() ?? [],
    held: async () => (await listWorkableRuns(control)).flatMap(({ job, hold }) => (hold ? [{ job, ...hold }] : [])),
    pace: async () => {
      const { pace, workers } = await readPace(control)
      return { ...pace, workers }
    },
    onError: (metric, error) => log.warn({ err: error, metric }, 'a metric cannot be read and is left out'),
  })
  const catalogue = openCatalogue(config.jobsDir)
  await readJobs(catalogue, log)
  const shared = { control, engine, queue, catalogue, log, metrics }

  const pace = sampler && (await PaceKeeper.open({ control, sampler, log, metrics, name }))
  const worker = pace && startWorker({ ...shared, name, pace }, queueOptions, slots)
  const app = await buildApp(
    { ...shared, tokens: config.tokens, checkReplicas: sampling.checkReplicas },
    { role: config.role === 'worker' ? 'worker' : 'control' },
  )
  const closeAll = async () => {
    await worker?.close()
    await app.close()
    await queue.close()
    await sampler?.close()
    await sampling.close()
    await Promise.all([controlPool.end(), engine.end()])
  }
  let closing: Promise<void> | undefined
  const close = () => {
    closing ??= closeAll()
    return closing
  }
  try {
    const url = await app.listen({ host: config.host, port: config.port })
    return { url, close }
  } catch (error) {
    await close()
    const taken = (error as { code?: string }).code === 'EADDRINUSE'
    throw new Problem(
      'unavailable',
      `Cannot listen on ${config.host}:${config.port}: ${taken ? 'the port is taken. Set PORT to another one.' : messageOf(error)}`,
    )
  }
}

/**
 * Before anything relies on this process: loading jobs takes a second or more of its only thread, in which it could not
 * hear what the database says.
 */
async function readJobs(catalogue: Catalogue, log: Logger): Promise<void> {
  try {
    const { broken } = await catalogue.read()
    for (const { file, line, error } of broken) log.warn({ file, line, error }, 'a job file does not load')
  } catch (error) {
    log.warn({ err: error }, 'the jobs folder cannot be read; it is tried again when a job is asked for')
  }
}
