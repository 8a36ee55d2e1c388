import type { Pool } from 'pg'
import type { Config } from '../config.ts'
import { Problem } from '../core/errors.ts'
import { ownSchemas } from '../core/sql/search-path.ts'
import { engineSettings } from '../engine/batch/session.ts'
import { builtInKinds } from '../engine/kinds/built-in.ts'
import { explainConnection } from '../postgres/connection-string.ts'
import { Destination } from '../postgres/destination.ts'
import { createPool } from '../postgres/pool.ts'
import { asPoolerError } from '../postgres/pooler.ts'
import type { TicketQueueOptions } from '../queue/connection.ts'
import { limitReports } from '../queue/error-reports.ts'
import type { QueueLocation } from '../queue/location.ts'
import { openQueue } from '../queue/queue.ts'
import { prepareQueue } from '../queue/schema.ts'
import type { Registry } from '../registry/registry.ts'
import type { Database } from '../runs/database.ts'
import { collectMetrics } from '../runs/metrics-snapshot.ts'
import { type Control, createControl } from '../store/control.ts'
import { refuseEncoding } from '../store/schema/encoding.ts'
import { pingStore, readInstance } from '../store/schema/instance.ts'
import { migrate } from '../store/schema/migrate.ts'
import { guardSchemaVersion } from '../store/schema/version.ts'
import type { Logger } from '../telemetry/logger.ts'
import { createMetrics, type MetricSources, type Metrics, type PoolUse } from '../telemetry/metrics.ts'
import { singleFlight } from '../util/single-flight.ts'
import { withTimeout } from '../util/timeout.ts'
import { PaceController } from '../worker/pace-controller.ts'
import { startWorker, type Worker } from '../worker/worker.ts'
import { openSampling } from './sampling.ts'
import { openTicketing } from './ticketing.ts'

/** Tickets of one database that a process works on at once. */
const slots = 4
/**
 * Leases after which a session is replaced. Postgres keeps prepared statements and their plans until the session ends:
 * about 1.5 MB for each partition that the session has worked on.
 */
const leasesPerSession = 32
/**
 * Time limit for reading one database's metrics, well below usual scrape timeouts. A database that does not answer must
 * not delay the metrics of the others. Milliseconds.
 */
const metricTimeoutMs = 2000

/** Counting for metrics is not worth more of the database's time. */
const countingSettings = { lock_timeout: '1s', statement_timeout: '3s', idle_in_transaction_session_timeout: '5s' }
const controlSettings = {
  lock_timeout: '10s',
  statement_timeout: '30s',
  idle_in_transaction_session_timeout: '30s',
  // Overrides the database's setting. Transactions that have to wait for standbys set it themselves.
  synchronous_commit: 'local',
}

/**
 * One database with everything that a process has for it: control schema, sessions, queue, sampler, pace and worker.
 */
export interface OpenDatabase extends Database {
  /** Identity of the control schema. No two databases may have the same. */
  readonly instance: string
  readonly metrics: Metrics
  /** Starts working on tickets, if the role of the process includes it. */
  startWorking(name: string): Promise<void>
  /** Ends each batch in flight and gives ranges back. The API goes on. */
  stopWorking(): Promise<void>
  close(): Promise<void>
}

/**
 * Opens `config.databaseUrl`, under a name if there are several databases. Calls `onOutdated` when a newer release has
 * migrated the control schema, after which this process cannot write to it.
 */
export async function openDatabase(
  config: Config & { readonly databaseUrl: string },
  name: string | null,
  registry: Registry,
  parentLog: Logger,
  onOutdated: (problem: Problem) => void,
): Promise<OpenDatabase> {
  const { kinds = builtInKinds } = config
  const log = name === null ? parentLog : parentLog.child({ database: name })
  const broke = (error: Error) => log.warn({ err: error }, 'a connection to Postgres broke; the pool replaces it')
  // One for all pools of the database, so that the server that is measured is the one that is written to.
  const destination = new Destination()
  const controlPool = createPool(
    config.databaseUrl,
    { name: 'evenkeel control', max: 6, settings: controlSettings, queryTimeoutMs: 45_000, destination },
    broke,
  )
  // A pool for pause, cancel and other stop commands, so that sessions that wait for a standby or a lock cannot use it
  // up.
  const brakePool = createPool(
    config.databaseUrl,
    { name: 'evenkeel control', max: 2, settings: controlSettings, queryTimeoutMs: 45_000, destination },
    broke,
  )
  const engine = createPool(
    config.databaseUrl,
    {
      name: 'evenkeel engine',
      max: slots + 2,
      settings: { ...engineSettings, statement_timeout: `${config.timings.statementSeconds}s` },
      queryTimeoutMs: 2000 * config.timings.statementSeconds,
      maxUses: leasesPerSession,
      destination,
    },
    broke,
  )
  // A pool for readers of metrics, so that slow or frequent scrapes take no connection from workers.
  const countingPool = createPool(
    config.databaseUrl,
    { name: 'evenkeel metrics', max: 2, settings: countingSettings, queryTimeoutMs: 5000, destination },
    broke,
  )
  const counting = createControl(countingPool, config.controlSchema)
  const schema = createControl(controlPool, config.controlSchema)
  const location: QueueLocation = config.redisUrl
    ? { kind: 'redis', url: config.redisUrl }
    : { kind: 'postgres', url: config.databaseUrl, schema: ownSchemas(config.controlSchema)[1] }
  const { instance, version } = await prepare(schema, location, [controlPool, brakePool, engine, countingPool])
  const control = guardSchemaVersion(schema, version, onOutdated)
  const brake = guardSchemaVersion(createControl(brakePool, config.controlSchema), version, onOutdated)

  const queueOptions: TicketQueueOptions = {
    location,
    instance,
    onMoved: (listener) => destination.onMoved(listener),
    onError: limitReports((error) =>
      log.warn({ err: error }, 'the queue reports an error; tickets wait until it works again'),
    ),
  }
  const queue = openTicketing(openQueue(queueOptions), control)
  // Reports a broken queue now and not when the first run stalls. The service starts all the same.
  queue.probe().catch((error: unknown) => log.debug({ err: error }, 'the queue has refused the first ticket'))
  const sampling = openSampling(config, control, destination, broke)
  const sampler =
    config.role === 'api'
      ? null
      : sampling.startSampler((signal, error) => log.warn({ err: error, signal }, 'a signal cannot be read'))
  // Logged once at the start, where people look first. A run that is slowed by it says so, too.
  void sampler?.ready.then(() => {
    const blind = sampler.readings().find(({ signal, value }) => signal === 'foreground' && value === null)
    if (blind)
      log.warn(`cannot see whether foreground sessions are active, so runs are slowed as if they were: ${blind.detail}`)
  })
  let pace: PaceController | null = null
  let worker: Worker | null = null
  const ping = singleFlight(() => pingStore(counting))
  const snapshot = singleFlight(() => collectMetrics(counting, config.timings))
  const inTime = <T>(answer: Promise<T>) => withTimeout(answer, metricTimeoutMs)
  const sources: MetricSources = {
    ping: () => inTime(ping()),
    snapshot: () => inTime(snapshot()),
    queueDepth: () => inTime(queue.depth()),
    signals: () => pace?.measured() ?? [],
    slots: () => ({ all: worker ? slots : 0, busy: worker?.busy ?? 0 }),
    pools: () => [poolUse('control', controlPool), poolUse('engine', engine), poolUse('metrics', countingPool)],
    onError: (what, error) => log.warn({ err: error }, `cannot read metrics of ${what}; they are left out`),
  }
  const metrics = createMetrics(sources, name === null ? {} : { database: name })

  async function stopWorking(): Promise<void> {
    const working = worker
    worker = null
    await working?.close()
  }

  return {
    name,
    instance,
    control,
    brake,
    engine,
    queue,
    registry,
    kinds,
    log,
    metrics,
    timings: config.timings,
    checkReplicas: sampling.checkReplicas,
    async startWorking(worksAs) {
      if (!sampler) return
      pace = await PaceController.open({ control, sampler, log, metrics, name: worksAs, timings: config.timings })
      const { timings, observe } = config
      const deps = { control, engine, queue, registry, kinds, log, metrics, pace, name: worksAs, timings, observe }
      worker = startWorker(deps, queueOptions, slots)
    },
    stopWorking,
    async close() {
      await stopWorking()
      await queue.close()
      await sampler?.close()
      await sampling.close()
      await Promise.all([controlPool, brakePool, engine, countingPool].map((pool) => pool.end()))
    },
  }
}

function poolUse(pool: string, { totalCount, idleCount, waitingCount, options }: Pool): PoolUse {
  return { pool, busy: totalCount - idleCount, idle: idleCount, limit: options.max, waiting: waitingCount }
}

/** Migrates the schemas and returns the control schema's identity and version. Ends the pools if that fails. */
async function prepare(
  control: Control,
  location: QueueLocation,
  pools: readonly Pool[],
): Promise<{ instance: string; version: number }> {
  try {
    await refuseEncoding(control)
    const version = await migrate(control)
    await prepareQueue(location)
    return { instance: await readInstance(control), version }
  } catch (error) {
    await Promise.all(pools.map((pool) => pool.end()))
    if (error instanceof Problem) throw error
    const pooler = asPoolerError(error)
    if (pooler) throw new Problem('unavailable', `${pooler.message}. See docs/poolers.md.`)
    throw new Problem('unavailable', explainConnection(error), {}, { cause: error })
  }
}
