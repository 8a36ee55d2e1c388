import type { Config } from '../config.ts'
import { messageOf, Problem } from '../core/errors.ts'
import type { EmbeddedPostgres } from '../embedded/index.ts'
import { createLogger, type Logger } from '../telemetry/logger.ts'
import { withTimeout } from '../util/timeout.ts'
import { type Service, startService } from './service.ts'

const dataDir = '.data/postgres'
const sameKeyMs = 500

/** Runs evenkeel in this process, and exits when it ends. */
export function runProcess(readConfig: () => Config): void {
  // Node would print every property of the error, and one may be a command with a password.
  process.on('uncaughtException', giveUp)
  serve(readConfig).then(
    // A client that still tries to reach Redis would keep the process alive.
    (code) => process.exit(code),
    giveUp,
  )
}

/** Starts the service and ends it on a signal. Returns the exit code. */
async function serve(readConfig: () => Config): Promise<number> {
  const config = readConfig()
  const log = createLogger(config.logLevel)
  const stopping = new AbortController()
  const stopped = new Promise<null>((resolve) => stopping.signal.addEventListener('abort', () => resolve(null)))
  let firstAt = 0
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.on(signal, () => {
      // Under npm one Ctrl-C arrives twice: from the terminal, and from npm.
      if (stopping.signal.aborted && performance.now() - firstAt < sameKeyMs) return
      if (stopping.signal.aborted) process.exit(1)
      firstAt = performance.now()
      log.info(
        { signal },
        'stopping: batches in flight end first; live runs go on when a worker starts. A second signal exits at once',
      )
      stopping.abort()
    })
  }

  const embedded = config.databaseUrl === null && config.databases.length === 0 ? await startEmbedded(log) : null
  let service: Service | null = null
  let exitCode = 0
  try {
    // A start that waits for a lock or a database need not be awaited. If it has begun to work, its leases run out.
    service = await Promise.race([
      startService({ ...config, databaseUrl: embedded?.url ?? config.databaseUrl }, log),
      stopped,
    ])
    if (service === null) return 0
    log.info({ url: service.url, ...described(config, embedded) }, `evenkeel serves on ${service.url}`)
    const outdated = await Promise.race([stopped, service.outdated])
    if (outdated) {
      log.error(`stopping: a newer release has taken over. ${outdated.message}`)
      exitCode = 1
    }
  } finally {
    if (service && !(await closes(service, config.timings.stopSeconds, log))) exitCode = 1
    await embedded?.stop()
  }
  return exitCode
}

/**
 * Closes the service. False if it does not end in time, because a database or a queue does not answer. Nothing is lost:
 * leases run out.
 */
async function closes(service: Service, seconds: number, log: Logger): Promise<boolean> {
  try {
    await withTimeout(service.close(), seconds * 1000)
    return true
  } catch (error) {
    log.warn(
      { err: error },
      'stopping: not everything ended in time; other processes rescue the ranges that this one still held',
    )
    return false
  }
}

async function startEmbedded(log: Logger): Promise<EmbeddedPostgres> {
  log.info(`DATABASE_URL is not set: starting an embedded Postgres in ${dataDir}`)
  // Imported only here, so that a process with a database loads none of it and needs no binaries.
  const { NoBinaries, startPostgres } = await import('../embedded/index.ts')
  const postgres = await startPostgres({ dataDir }).catch((error: unknown) => {
    throw error instanceof NoBinaries ? new Problem('unavailable', error.message, {}, { cause: error }) : error
  })
  log.info({ port: postgres.port, dataDir: postgres.dataDir }, 'embedded Postgres runs')
  return postgres
}

function described(config: Config, embedded: EmbeddedPostgres | null) {
  return {
    role: config.role,
    ...(config.databases.length > 0
      ? { databases: config.databases.map(({ name }) => name) }
      : { database: embedded ? 'embedded' : 'DATABASE_URL' }),
    queue: config.redisUrl ? 'redis' : 'postgres',
    jobsDir: config.jobsDir,
  }
}

function giveUp(error: unknown): never {
  // A person reads this at a terminal or in a container's log: the message first, and a stack only for defects.
  process.stderr.write(
    `evenkeel cannot go on. ${error instanceof Problem ? messageOf(error) : ((error as Error)?.stack ?? messageOf(error))}\n`,
  )
  process.exit(1)
}
