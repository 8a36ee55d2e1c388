import { randomBytes } from 'node:crypto'
import { hostname } from 'node:os'
import { buildApp } from '../api/app.ts'
import type { Config } from '../config.ts'
import { messageOf, Problem } from '../core/errors.ts'
import { grantToCreate } from '../core/sql/grant.ts'
import { isSqlState } from '../core/sqlstate.ts'
import { openRegistry, type Registry } from '../registry/registry.ts'
import { runRetention } from '../runs/retention.ts'
import { createExposition } from '../telemetry/exposition.ts'
import type { Logger } from '../telemetry/logger.ts'
import { singleFlight } from '../util/single-flight.ts'
import { withTimeout } from '../util/timeout.ts'
import { version } from '../version.ts'
import { type OpenDatabase, openDatabase } from './database.ts'

/** Time limit for listing jobs. A folder that does not answer must not delay the metrics. Milliseconds. */
const jobsWithinMs = 2000

export interface Service {
  /** Address of the API, or of a worker's health check. */
  readonly url: string
  /** Resolves with a Problem when a newer release has migrated a control schema. The process can only end then. */
  readonly outdated: Promise<Problem>
  /** Stops taking work, ends each batch in flight, gives ranges back, and closes every connection. */
  close(): Promise<void>
}

/** Starts one process of evenkeel, by role, for one database (`databaseUrl`) or several. */
export async function startService(config: Config, log: Logger): Promise<Service> {
  const registry = openRegistry(config.jobsDir, ({ file, line, error }) =>
    log.warn({ file, line, error }, `cannot load the job file ${file}`),
  )
  let outdate: (problem: Problem) => void = () => undefined
  const outdated = new Promise<Problem>((resolve) => {
    outdate = resolve
  })
  const databases = await openDatabases(config, registry, log, outdate)
  await loadJobs(registry, log)
  // Containers may share a host name and a process number. The random part keeps them from taking each other's leases
  // for their own.
  const name = `${hostname()}-${randomBytes(3).toString('hex')}-${process.pid}`
  await Promise.all(databases.map((db) => db.startWorking(name)))
  const tidying = new AbortController()
  const tidied = runRetention(
    databases,
    config.retentionDays,
    name,
    tidying.signal,
    config.timings.retentionEverySeconds,
  )
  const exposition = createExposition(
    databases.map((db) => db.metrics),
    version,
    config.role === 'api' ? async () => [] : jobNames(registry, log),
  )
  const app = await buildApp(
    { databases, registry, log, exposition, tokens: config.tokens, callsPerSecond: config.callsPerSecond },
    { role: config.role === 'worker' ? 'worker' : 'control' },
  )
  const closeAll = async () => {
    tidying.abort()
    await Promise.all(databases.map((db) => db.stopWorking()))
    await app.close()
    await tidied
    await Promise.all(databases.map((db) => db.close()))
  }
  let closing: Promise<void> | undefined
  const close = () => {
    closing ??= closeAll()
    return closing
  }
  try {
    const url = await app.listen({ host: config.host, port: config.port })
    return { url, outdated, close }
  } catch (error) {
    await close()
    const taken = (error as { code?: string }).code === 'EADDRINUSE'
    throw new Problem(
      'unavailable',
      `Cannot listen on ${config.host}:${config.port}: ${taken ? 'the port is in use. Set PORT to another one.' : messageOf(error)}`,
    )
  }
}

/**
 * Opens all databases, or throws a Problem that names each one that cannot be used. A process without one of them would
 * look complete and leave that database without workers.
 */
async function openDatabases(
  config: Config,
  registry: Registry,
  log: Logger,
  onOutdated: (problem: Problem) => void,
): Promise<readonly OpenDatabase[]> {
  const { databaseUrl, databases, controlSchema } = config
  const targets = databaseUrl === null ? databases : [{ name: null, url: databaseUrl }]
  const told = (reason: Error, url: string) =>
    [messageOf(reason), mayNotCreate(reason.cause, url, controlSchema)].filter((words) => words !== null).join('. ')
  const opened = await Promise.allSettled(
    targets.map(({ name, url }) => openDatabase({ ...config, databaseUrl: url }, name, registry, log, onOutdated)),
  )
  const running = opened.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []))
  const faults = [
    ...opened.flatMap((outcome, index) =>
      outcome.status === 'rejected'
        ? [`${targets[index]?.name}: ${told(outcome.reason, targets[index]?.url ?? '')}`]
        : [],
    ),
    ...twins(running, controlSchema),
  ]
  if (faults.length === 0) return running
  await Promise.all(running.map((db) => db.close()))
  const rights = `that Postgres runs, and that the role may create schemas in it, or owns ${controlSchema} and ${controlSchema}_queue.`
  const [only] = opened
  if (databaseUrl !== null && only?.status === 'rejected') {
    // A control schema that is newer than this program has nothing to do with rights.
    if (only.reason.cause === undefined) throw only.reason
    throw new Problem(
      'unavailable',
      `The database cannot be used: ${messageOf(only.reason)}. ${mayNotCreate(only.reason.cause, databaseUrl, controlSchema) ?? `Check DATABASE_URL, ${rights}`}`,
      {},
      { cause: only.reason.cause },
    )
  }
  throw new Problem(
    'unavailable',
    `Cannot use these of ${targets.length} DATABASES, and evenkeel starts with all or none:\n${faults.map((fault) => `  - ${fault}`).join('\n')}\nFor each, check its URL, ${rights}`,
  )
}

/** What to do if the role may not create its schemas; null if that is not the cause. */
function mayNotCreate(cause: unknown, url: string, schema: string): string | null {
  const refused = isSqlState(cause, 'insufficient_privilege') && messageOf(cause).includes('for database')
  const grant = refused ? grantToCreate(url) : null
  return grant && `${grant}; or create the schemas ${schema} and ${schema}_queue, owned by that role.`
}

/** Finds pairs of names for one control schema. Each run would exist twice. */
function twins(databases: readonly OpenDatabase[], schema: string): string[] {
  return databases.flatMap((db, index) =>
    databases
      .slice(0, index)
      .filter((before) => before.instance === db.instance)
      .map(
        (before) =>
          `${before.name} and ${db.name}: both have the control schema ${db.instance}. They are one database under two names, or one is a copy of the other; in the copy, DROP SCHEMA ${schema}, ${schema}_queue CASCADE.`,
      ),
  )
}

/**
 * Loads the jobs before anything relies on this process. It takes the only thread for a second or more, in which no
 * answer of the database is handled.
 */
async function loadJobs(registry: Registry, log: Logger): Promise<void> {
  try {
    await registry.read()
  } catch (error) {
    log.warn({ err: error }, 'cannot read the jobs folder; it is read again when a job is needed')
  }
}

/** Names of the jobs at each scrape. Empty if the folder cannot be read in time. */
function jobNames(registry: Registry, log: Logger): () => Promise<readonly string[]> {
  const read = singleFlight(() => registry.read())
  return async () => {
    try {
      const { jobs } = await withTimeout(read(), jobsWithinMs)
      return jobs.map(({ job }) => job.name)
    } catch (error) {
      log.debug({ err: error }, 'cannot read the jobs folder, so new jobs are not counted yet')
      return []
    }
  }
}
