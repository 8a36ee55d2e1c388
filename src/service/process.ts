import type { Config } from '../config.ts'
import { messageOf, Problem } from '../core/errors.ts'
import type { EmbeddedPostgres } from '../embedded/index.ts'
import { createLogger, type Logger } from '../telemetry/logger.ts'
import { withTimeout } from '../util/timeout.ts'
import { type Service, startService } from './service.ts'

const dataDir = '.data/postgres'
const sameKeyMs = 500

/** Runs evenkeel in this process, and ends the process with it. */
export function runProcess(readConfig: () => Config): void {
  // Node itself would print all that hangs on the error, and that may be a command that carries a password.
  process.on('uncaughtException', giveUp)
  serve(readConfig).then(
    // A client that is still trying to reach a Redis that is down would keep the process alive.
    (code) => process.exit(code),
    giveUp,
  )
}

/** Starts what the configuration asks for, and ends on a signal. Returns the exit code. */
async function serve(readConfig: () => Config): Promise<number> {
  const config = readConfig()
  const log = createLogger(config.logLevel)
  const stopping = new AbortController()
  const stopped = new Promise<null>((resolve) => stopping.signal.addEventListener('abort', () => resolve(null)))
  let firstAt = 0
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.on(signal, () => {
      // Under npm one Ctrl-C arrives twice: from the terminal, and passed on by npm.
      if (stopping.signal.aborted && performance.now() - firstAt < sameKeyMs) return
      if (stopping.signal.aborted) process.exit(1)
      firstAt = performance.now()
      log.info(
        { signal },
        'stopping: batches in flight end first; live runs go on when a worker starts again. A second signal exits at once',
      )
      stopping.abort()
    })
  }

  const embedded = config.databaseUrl === null && config.databases.length === 0 ? await startEmbedded(log) : null
  let service: Service | null = null
  let exitCode = 0
  try {
    // One that waits for a lock, or for a database that does not answer, need not be waited for. If it has just begun to work, its
    // leases run out by themselves.
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
 * Whether the service ends in time. What does not end waits for a database or a queue that does not answer, and nothing is
 * lost with it: leases run out by themselves.
 */
async function closes(service: Service, seconds: number, log: Logger): Promise<boolean> {
  try {
    await withTimeout(service.close(), seconds * 1000)
    return true
  } catch (error) {
    log.warn(
      { err: error },
      'stopping: not everything has ended; ranges that this process still held are rescued by others',
    )
    return false
  }
}

async function startEmbedded(log: Logger): Promise<EmbeddedPostgres> {
  log.info(`DATABASE_URL is not set: starting an embedded Postgres in ${dataDir}`)
  // Only here: where there is a database, nothing of it is loaded, and its binaries need not be installed.
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
  // The reader is a person at a terminal or in front of a container's log: words first, a stack only for defects.
  process.stderr.write(
    `evenkeel could not go on. ${error instanceof Problem ? messageOf(error) : ((error as Error)?.stack ?? messageOf(error))}\n`,
  )
  process.exit(1)
}
