import { messageOf } from '../core/errors.ts'
import { Environment } from './demo/environment.ts'
import { runLarge, usualSource } from './demo/large.ts'
import { seconds } from './demo/messages.ts'
import { Screen } from './demo/screen.ts'
import { runSmall } from './demo/small.ts'

const usage = `npm run demo             on the 135 233 cities of the world, step by step
npm run demo -- --large  on the 4.5 million names of all-the-package-names, in one go (27 MB are fetched once)`

const screen = new Screen(process.stdout)
const began = performance.now()
const interrupted = new AbortController()
const environment = new Environment(screen, interrupted.signal)

const [option, ...others] = process.argv.slice(2)
if (others.length > 0 || (option !== undefined && option !== '--large')) {
  process.stderr.write(`The demo does not know ${process.argv.slice(2).join(' ')}. There is\n${usage}\n`)
  process.exitCode = 2
} else {
  listenForSignals()
  process.exitCode = await demo(option === '--large')
}

/** Returns the exit code. */
async function demo(large: boolean): Promise<number> {
  let failure: unknown
  let wrong: string[] = []
  try {
    screen.line('evenkeel: a backfill on a live PostgreSQL, from start to proof')
    screen.line(screen.dim('Database, processes and files are temporary. Ctrl-C ends it all, at any moment.'))
    screen.line()
    wrong = await (large ? runLarge(environment, usualSource) : runSmall(environment))
  } catch (error) {
    failure = error
  }
  screen.clear()
  const kept = failure !== undefined && !interrupted.signal.aborted ? await environment.keepLog() : null
  await environment.close()
  if (interrupted.signal.aborted) {
    screen.line('Stopped: every process is ended, every temporary file is removed.')
    return 130
  }
  if (failure !== undefined) {
    explain(failure, kept)
    return 1
  }
  conclude(wrong, large)
  return wrong.length === 0 ? 0 : 1
}

function conclude(wrong: readonly string[], large: boolean): void {
  const elapsed = seconds((performance.now() - began) / 1000)
  screen.line()
  if (wrong.length > 0) {
    screen.verdict(false, `The proof does not hold after ${elapsed}. ${wrong.join('; ')}.`)
    return
  }
  const through = large ? '' : ': through a pause, a standby that fell behind, locks and a crash,'
  screen.verdict(true, `Every row was done exactly once${through} in ${elapsed}.`)
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
  if (environment.tail.length > 0) {
    screen.line()
    screen.line('The last lines of the service:')
    for (const line of environment.tail) screen.line(`  ${line}`)
  }
  screen.line()
  screen.verdict(false, `The demo failed: ${messageOf(error)}`)
  if (kept) screen.line(`The log of the service is kept in ${kept}`)
}

function listenForSignals(): void {
  let first = 0
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      // One Ctrl-C is two signals: from the terminal, and from npm.
      if (interrupted.signal.aborted && performance.now() - first < 500) return
      // The children exit with this process, and Postgres has its supervisor, so nothing is left to end here.
      if (interrupted.signal.aborted) process.exit(130)
      first = performance.now()
      screen.clear()
      screen.line('Stopping. Press Ctrl-C again to exit at once.')
      interrupted.abort()
    })
  }
  // The reader of our output has gone (… | head), so there is nothing to show any more.
  process.stdout.on('error', () => interrupted.abort())
}
