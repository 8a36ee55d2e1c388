import { randomBytes } from 'node:crypto'
import { copyFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import pg from 'pg'
import { startPostgres, startStandby } from '../embedded/index.ts'
import { loadCities } from './demo/cities.ts'
import { Client } from './demo/client.ts'
import { Fleet } from './demo/fleet.ts'
import { removeTickets } from './demo/leftovers.ts'
import { Screen } from './demo/screen.ts'
import { playShow } from './demo/show.ts'
import { count, seconds } from './demo/words.ts'

const screen = new Screen(process.stdout)
const began = performance.now()
const interrupted = new AbortController()
/** What has to be undone, the last first. Each is tried, whatever becomes of the others. */
const undo: Array<() => Promise<unknown>> = []
let fleet: Fleet | null = null
let logFile: string | null = null

listenForSignals()
process.exitCode = await demo()

/** Returns the exit code. */
async function demo(): Promise<number> {
  let failure: unknown
  let wrong: string[] = []
  try {
    wrong = await perform(interrupted.signal)
  } catch (error) {
    failure = error
  }
  screen.clear()
  const kept = failure !== undefined && !interrupted.signal.aborted ? await keepLog() : null
  for (const step of undo.reverse()) await step().catch(() => {})
  if (interrupted.signal.aborted) {
    screen.line('Stopped: every process is ended, every temporary file is removed.')
    return 130
  }
  if (failure !== undefined) {
    explain(failure, kept)
    return 1
  }
  conclude(wrong)
  return wrong.length === 0 ? 0 : 1
}

async function perform(signal: AbortSignal): Promise<string[]> {
  screen.line('evenkeel: a backfill on a live PostgreSQL, from start to proof')
  screen.line(screen.dim('Database, processes and files are temporary. Ctrl-C ends it all, at any moment.'))
  screen.line()

  const postgres = await timed('Postgres runs in a temporary folder', () => startPostgres())
  undo.push(() => postgres.stop())
  logFile = join(dirname(postgres.logFile), 'demo.log')
  const pool = connect(postgres.url)
  signal.throwIfAborted()

  // Before there is anything to copy: it is there sooner, and follows the loading.
  const follower = await timed('a standby streams from it', () => startStandby(postgres, { name: 'one' }))
  undo.push(() => follower.stop())
  const standby = connect(follower.url)
  signal.throwIfAborted()

  let rowsLoaded = 0
  await timed('the cities of the world are loaded', async () => {
    const loaded = await loadCities(pool)
    rowsLoaded = loaded.cities
    return `${count(loaded.cities)} rows in cities, ${loaded.countries} in countries`
  })
  signal.throwIfAborted()

  const secret = randomBytes(24).toString('base64url')
  const redisUrl = process.env.REDIS_URL
  const running = new Fleet(logFile, {
    DATABASE_URL: postgres.url,
    REPLICAS: 'auto',
    API_TOKENS: `you:operate:${secret}`,
    ...(redisUrl ? { REDIS_URL: redisUrl } : {}),
  })
  fleet = running
  if (redisUrl) undo.push(() => removeTickets(redisUrl, pool))
  undo.push(() => running.stop())
  const { api, workers } = await timed('the service runs', async () => {
    const api = await running.start('api', 'API', signal)
    const workers = await Promise.all([1, 2].map((number) => running.start('worker', `worker ${number}`, signal)))
    return { api, workers }
  })
  for (const { name, pid, url } of [api, ...workers]) screen.fact(screen.dim(`${name}: pid ${pid}, ${url}`))

  const stage = {
    screen,
    client: new Client(api.url, secret, signal),
    pool,
    standby,
    fleet: running,
    workers,
    databaseUrl: postgres.url,
    rowsLoaded,
    signal,
    onEnd: (step: () => Promise<void>) => undo.push(step),
  }
  return playShow(stage)
}

/** A few sessions of the show's own, closed when it ends. */
function connect(connectionString: string): pg.Pool {
  const pool = new pg.Pool({ connectionString, max: 2, application_name: 'evenkeel demo' })
  pool.on('error', () => {})
  undo.push(() => pool.end())
  return pool
}

async function timed<T>(what: string, work: () => Promise<T>): Promise<T> {
  const start = performance.now()
  const result = await work()
  const more = typeof result === 'string' ? `: ${result}` : ''
  screen.fact(`${what}${more} ${screen.dim(`(${seconds((performance.now() - start) / 1000)})`)}`)
  return result
}

function conclude(wrong: readonly string[]): void {
  const elapsed = seconds((performance.now() - began) / 1000)
  screen.line()
  if (wrong.length > 0) {
    screen.verdict(false, `The proof does not hold after ${elapsed}. ${wrong.join('; ')}.`)
    return
  }
  screen.verdict(
    true,
    `Every row was done exactly once: through a pause, a standby that fell behind, locks and a crash, in ${elapsed}.`,
  )
  screen.line()
  screen.line('Next:')
  for (const [command, what] of [
    ['npm start', 'the service on port 3000, with a database that stays'],
    ['DATABASE_URL=postgres://… npm start', 'the same on your database'],
    ['curl 127.0.0.1:3000/jobs', 'the jobs it knows, from jobs/'],
    ['curl 127.0.0.1:3000/openapi.json', 'every call there is'],
    ['README.md', 'what it is for, and how to write a job'],
  ]) {
    screen.line(`  ${command?.padEnd(37)}${screen.dim(what ?? '')}`)
  }
}

function explain(error: unknown, kept: string | null): void {
  const tail = fleet?.tail ?? []
  if (tail.length > 0) {
    screen.line()
    screen.line('The last lines of the service:')
    for (const line of tail) screen.line(`  ${line}`)
  }
  screen.line()
  screen.verdict(false, `The demo could not go on: ${error instanceof Error ? error.message : String(error)}`)
  if (kept) screen.line(`The log of the service is kept in ${kept}`)
}

/** The folder with the log goes with Postgres; whoever wants to know what went wrong needs it longer. */
async function keepLog(): Promise<string | null> {
  if (logFile === null || fleet === null) return null
  const kept = join(tmpdir(), `evenkeel-demo-${process.pid}.log`)
  try {
    await copyFile(logFile, kept)
    return kept
  } catch {
    return null
  }
}

function listenForSignals(): void {
  let first = 0
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      // npm passes Ctrl-C on although the terminal has sent it to us as well: one key press, two signals.
      if (interrupted.signal.aborted && performance.now() - first < 500) return
      // The children are on a leash, and Postgres has its warden: nothing of it needs us to be ended.
      if (interrupted.signal.aborted) process.exit(130)
      first = performance.now()
      screen.clear()
      screen.line('Stopping; once more to leave at once.')
      interrupted.abort()
    })
  }
  // Whoever read our output has gone (… | head): nobody watches any more.
  process.stdout.on('error', () => interrupted.abort())
}
