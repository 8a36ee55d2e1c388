import type { Pool } from 'pg'
import { formatBytes } from '../../core/format.ts'
import { timings } from '../../core/timings.ts'
import { engineName } from '../../signals/foreground-sessions.ts'
import type { Client, EventBody, RunView } from './client.ts'
import { type HeldLocks, lockRowsAhead, lockSql } from './lock.ts'
import { count, listed, seconds } from './messages.ts'
import type { ServiceProcess, ServiceProcesses } from './processes.ts'
import { prove, showEvents } from './proof.ts'
import type { Screen } from './screen.ts'
import { pauseReplaySql, resumeReplaySql, untilCaughtUp } from './standby.ts'
import { Watch } from './watch.ts'

const job = 'cities-search-name'
// Fast enough to end soon and slow enough to watch: 135 thousand rows in 23 seconds, in smooth steps. The limit of the
// lag is lower than usual, so that it is reached soon.
const options = { maxLagSeconds: 2, maxRowsPerSecond: 6000, parallelism: 4, batchSize: { min: 50, max: 250 } }
const rowsLocked = 300

/** Everything that the script needs. */
export interface ScriptContext {
  readonly screen: Screen
  readonly client: Client
  readonly pool: Pool
  readonly standby: Pool
  readonly processes: ServiceProcesses
  readonly workers: ServiceProcess[]
  readonly databaseUrl: string
  readonly rowsLoaded: number
  readonly signal: AbortSignal
  /** Registers a clean-up step for the end of the demo. */
  onEnd(undo: () => Promise<void>): void
}

/** Runs all steps. Returns what is wrong at the end; nothing if the proof holds. */
export async function runScript(context: ScriptContext): Promise<string[]> {
  await rehearse(context)
  const watch = await start(context)
  await pauseAndResume(context, watch)
  await fallBehind(context, watch)
  const locks = await lock(context)
  await killWorker(context, watch)
  await waitAndRelease(context, watch, locks)
  const run = await finish(context, watch)
  return concludes(context, run)
}

async function rehearse({ screen, client, pool }: ScriptContext): Promise<void> {
  screen.step(1, 'Dry run', 'A few batches are executed and rolled back.')
  screen.typed(`POST /runs ${JSON.stringify({ job, dryRun: true })}`)
  const report = await client.dryRun({ job })
  for (const { before, after } of report.samples.slice(0, 3) as Array<Record<'before' | 'after', Column>>) {
    const { rows } = await pool.query<{ name: string }>('SELECT name FROM cities WHERE id = $1', [before.id])
    screen.fact(
      `${rows[0]?.name} (id ${before.id}): search_name ${text(before.search_name)} -> ${text(after.search_name)}`,
    )
  }
  const { estimate } = report
  screen.fact(
    `${count(report.rowsPerSecond)} rows/s on ${count(report.rowsScanned)} rows; at that speed the table takes ${seconds(estimate.seconds ?? 0)} and ${formatBytes(estimate.walBytes ?? 0)} of WAL`,
  )
  const { rows } = await pool.query<{ count: number }>('SELECT sum(touched)::int AS count FROM cities')
  screen.fact(`rows changed in the table so far: ${count(rows[0]?.count ?? 0)}`)
}

async function start({ screen, client, processes, signal }: ScriptContext): Promise<Watch> {
  screen.step(2, 'Start', 'The real run, limited to a rate so that there is time to watch.')
  screen.typed(`POST /runs ${JSON.stringify({ job, options })}`)
  const { id } = await client.start({ job, options })
  screen.fact(`accepted as ${id}`)
  const watch = new Watch(client, screen, processes.failure, signal, id)
  await watch.until('a quarter of the rows', (run) => run.progress.ratio >= 0.25)
  return watch
}

async function pauseAndResume({ screen, client, pool }: ScriptContext, watch: Watch): Promise<void> {
  screen.step(3, 'Pause', 'A paused run changes nothing any more.')
  screen.typed(`POST /runs/${watch.id}/pause`)
  const told = await client.tell(watch.id, 'pause', 'to see that nothing changes')
  const paused = told.status === 'paused' ? told : await watch.until('the pause', (run) => run.status === 'paused')
  screen.progress(paused)
  const before = await rowsDone(pool)
  await watch.pause(2000)
  const after = await rowsDone(pool)
  if (before !== after) throw new Error(`the run reads paused, and ${after - before} rows were changed in two seconds`)
  screen.fact(`it reads ${paused.status}; rows done: ${count(before)}, two seconds later: ${count(after)}`)
  screen.typed(`POST /runs/${watch.id}/resume`)
  await client.tell(watch.id, 'resume')
  await watch.until('the run to go on', (run) => run.status === 'running')
}

async function fallBehind({ screen, client, pool, standby }: ScriptContext, watch: Watch): Promise<void> {
  screen.step(4, 'It feels the database', 'The standby stops replaying, and evenkeel finds out by itself.')
  screen.typed(`on the standby: ${pauseReplaySql};`)
  await standby.query(pauseReplaySql)
  let shown = 0
  const tellLag = ({ throttle }: RunView) => {
    if (throttle?.signal !== 'replica-lag' || throttle.value === null) return
    if (Math.abs(throttle.value - shown) < 0.5) return
    shown = throttle.value
    screen.fact(throttle.reason)
  }
  await watch.until('the run to be held', async (run) => {
    tellLag(run)
    return isOverLag(run) && isHeld(await client.events(watch.id))
  })
  screen.typed(`GET /runs/${watch.id}`)
  const { status, throttle } = await client.run(watch.id)
  screen.fact(`status: ${status}, throttle: ${JSON.stringify(throttle)}`)
  // A batch from before the hold may still commit, but none begins after it. Then nothing can commit.
  await watch.until('the last batches to end', async () => (await batchesInFlight(pool)) === 0)
  const before = await rowsDone(pool)
  const since = performance.now()
  await watch.until('two seconds', (run) => {
    tellLag(run)
    return performance.now() - since >= 2000
  })
  const after = await rowsDone(pool)
  if (before !== after) throw new Error(`the run is held, and ${after - before} rows were changed in two seconds`)
  screen.fact(`no batch is in flight; rows done: ${count(before)}, two seconds later: ${count(after)}`)
  screen.typed(`on the standby: ${resumeReplaySql};`)
  await standby.query(resumeReplaySql)
  await watch.until('the run to go on by itself', (run) => {
    tellLag(run)
    return run.progress.rowsDone > after
  })
  const released = (await client.events(watch.id)).findLast(({ kind }) => kind === 'released')
  screen.fact(`it goes on by itself, after ${seconds(Number(released?.detail.heldSeconds))}`)
}

async function lock({ screen, databaseUrl, onEnd }: ScriptContext): Promise<HeldLocks> {
  screen.step(5, 'Locks', 'Another session holds rows: no reason to wait for them, and none to leave them out.')
  screen.typed(`BEGIN; ${lockSql.replace('$1', String(rowsLocked))};`)
  const locks = await lockRowsAhead(databaseUrl, rowsLocked)
  onEnd(() => locks.release())
  screen.fact(
    `${count(locks.rows)} rows are held by backend ${locks.backend}; the run passes over them and records them as stragglers`,
  )
  return locks
}

async function killWorker({ screen, client, processes, workers, signal }: ScriptContext, watch: Watch): Promise<void> {
  // Between two slices a worker may hold nothing. It must hold a range when it is killed.
  let held = new Map<ServiceProcess, number[]>()
  await watch.until('a worker in the middle of its work', async (run) => {
    if (run.progress.ratio < 0.55) return false
    const ranges = await client.ranges(watch.id)
    held = new Map(workers.map((worker) => [worker, heldBy(worker, ranges)]))
    const busy = [...held.values()].filter((ordinals) => ordinals.length > 0).length
    // Better if another worker holds a range, too, so that the run is seen to go on. Which worker gets which ticket is
    // a matter of chance.
    return busy > 1 || (busy > 0 && run.progress.ratio >= 0.65)
  })
  const [victim] = [...held].reduce((most, each) => (each[1].length > most[1].length ? each : most))
  screen.step(6, 'Crash', 'A worker dies in the middle of its work, without any clean-up.')
  screen.typed(`kill -9 ${victim.pid}`)
  await victim.kill()
  const lost = heldBy(victim, await client.ranges(watch.id))
  screen.fact(`${victim.name} (pid ${victim.pid}) is gone; it held ${listed('range', lost)}`)
  screen.fact(`its leases run out within ${timings.leaseSeconds} seconds; the ranges of other workers go on meanwhile`)
  await watch.until('the rescue', async () => heldBy(victim, await client.ranges(watch.id)).length === 0)
  const rescues = (await client.events(watch.id)).filter(({ kind }) => kind === 'rescued')
  const rescued = rescues.map(({ detail }) => Number(detail.range)).sort((a, b) => a - b)
  const by = new Set(rescues.map(({ actor }) => nameOf(workers, actor)))
  if (rescued.length > 0) screen.fact(`rescued by ${[...by].join(' and ')}: ${listed('range', rescued)}`)
  // A worker that is about to take its next range may be faster than the rescuer, which looks once a second.
  const taken = lost.filter((ordinal) => !rescued.includes(ordinal))
  if (taken.length > 0) screen.fact(`taken over as the lease ran out: ${listed('range', taken)}`)
  const next = await processes.start('worker', `worker ${workers.length + 1}`, signal)
  workers.push(next)
  screen.fact(`${next.name} (pid ${next.pid}) takes its place`)
}

async function waitAndRelease({ screen, client }: ScriptContext, watch: Watch, locks: HeldLocks): Promise<void> {
  await watch.until('the run to wait for the locked rows', (run) => run.reason !== null && run.progress.stragglers > 0)
  const waiting = await client.run(watch.id)
  screen.step(7, 'Release', 'Every range is done, but the run does not end: it says what it waits for.')
  screen.fact(`it reads ${waiting.status}: ${waiting.reason}`)
  // The check keeps to the run's rate, too, and would take as long again to read the whole table.
  const lifted = { maxRowsPerSecond: null, batchSize: { min: 50, max: 10_000 } }
  screen.typed(`PATCH /runs/${watch.id} ${JSON.stringify(lifted)}`)
  await client.change(watch.id, lifted)
  screen.typed('ROLLBACK;')
  await locks.release()
  screen.fact('the limit is lifted while it runs, and the rows are free')
}

async function finish({ screen }: ScriptContext, watch: Watch): Promise<RunView> {
  await watch.until('the stragglers', (run) => run.status === 'verifying' || run.status === 'succeeded')
  screen.step(8, 'Check', 'The whole table is read once more for rows that still match the job.')
  const run = await watch.until('the end', ({ status }) => status === 'succeeded')
  screen.clear()
  screen.fact(
    `${count(run.proof?.rowsChecked ?? 0)} rows read, ${count(run.proof?.residual ?? Number.NaN)} of them left to do: it reads ${run.status}`,
  )
  return run
}

async function concludes(context: ScriptContext, run: RunView): Promise<string[]> {
  const { screen, client, pool, standby, workers, rowsLoaded, signal } = context
  screen.step(9, 'Proof', 'Counted in the database, by a trigger that the job does not know about.')
  await untilCaughtUp(pool, standby, signal)
  const wrong = await prove(pool, standby, screen, run, rowsLoaded)
  await pool.query('SELECT evenkeel.require_succeeded($1)', [job])
  screen.fact(`SELECT evenkeel.require_succeeded('${job}') lets the next migration pass`)
  screen.line()
  screen.typed(`GET /runs/${run.id}/events`)
  showEvents(screen, await client.events(run.id), (actor) => nameOf(workers, actor))
  return wrong
}

type Column = Readonly<Record<string, string | null>>

function text(value: string | null | undefined): string {
  return value == null ? 'NULL' : `'${value}'`
}

async function rowsDone(pool: Pool): Promise<number> {
  const { rows } = await pool.query<{ count: number }>('SELECT sum(touched)::int AS count FROM cities')
  return rows[0]?.count ?? Number.NaN
}

/** Only batches run on sessions of this name. */
async function batchesInFlight(pool: Pool): Promise<number> {
  const { rows } = await pool.query<{ count: number }>(
    `SELECT count(*)::int FROM pg_stat_activity WHERE application_name = '${engineName}' AND state <> 'idle'`,
  )
  return rows[0]?.count ?? Number.NaN
}

function isOverLag({ throttle }: RunView): boolean {
  return throttle?.signal === 'replica-lag' && (throttle.value ?? 0) >= options.maxLagSeconds
}

/** Reads the events, because a run that is only slowed has a throttle, too. */
function isHeld(events: readonly EventBody[]): boolean {
  return events.findLast(({ kind }) => kind === 'held' || kind === 'released')?.kind === 'held'
}

function heldBy(
  worker: ServiceProcess,
  ranges: ReadonlyArray<{ ordinal: number; leaseOwner: string | null }>,
): number[] {
  return ranges.filter(({ leaseOwner }) => leaseOwner?.endsWith(`-${worker.pid}`)).map(({ ordinal }) => ordinal)
}

/** A worker's own name is its host and process; the demo shows its number. */
function nameOf(workers: readonly ServiceProcess[], actor: string): string {
  return workers.find(({ pid }) => actor.endsWith(`-${pid}`))?.name ?? actor
}
