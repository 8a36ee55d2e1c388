import type { Pool } from 'pg'
import { leaseSeconds } from '../../worker/deps.ts'
import type { Client, RunBody } from './client.ts'
import type { Fleet, Member } from './fleet.ts'
import { type HeldLocks, lockRowsAhead, lockSql } from './lock.ts'
import { prove, showEvents } from './proof.ts'
import type { Screen } from './screen.ts'
import { Watch } from './watch.ts'
import { bytes, count, listed, seconds } from './words.ts'

const job = 'cities-search-name'
// Fast enough to be done soon, slow enough to be watched: 135 thousand rows in 27 seconds, in steps that look like a flow.
const options = { maxRowsPerSecond: 5000, parallelism: 4, batchSize: { min: 50, max: 250 } }
const rowsLocked = 300

/** What the show is played with. */
export interface Stage {
  readonly screen: Screen
  readonly client: Client
  readonly pool: Pool
  readonly fleet: Fleet
  readonly workers: Member[]
  readonly databaseUrl: string
  readonly rowsLoaded: number
  readonly signal: AbortSignal
  /** Is called when the demo ends, however it does. */
  onEnd(undo: () => Promise<void>): void
}

/** The whole show. Returns what is wrong with its end; nothing when the proof holds. */
export async function playShow(stage: Stage): Promise<string[]> {
  await rehearse(stage)
  const watch = await start(stage)
  await pauseAndResume(stage, watch)
  const locks = await lock(stage)
  await killWorker(stage, watch)
  await waitAndRelease(stage, watch, locks)
  const run = await finish(stage, watch)
  return concludes(stage, run)
}

async function rehearse({ screen, client, pool }: Stage): Promise<void> {
  screen.step(1, 'Dry run', 'A few batches are really executed, and rolled back.')
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
    `${count(report.rowsPerSecond)} rows/s on ${count(report.rowsScanned)} rows; at that speed the table takes ${seconds(estimate.seconds ?? 0)} and ${bytes(estimate.walBytes ?? 0)} of WAL`,
  )
  const { rows } = await pool.query<{ count: number }>('SELECT sum(touched)::int AS count FROM cities')
  screen.fact(`rows changed in the table so far: ${count(rows[0]?.count ?? 0)}`)
}

async function start({ screen, client, fleet, signal }: Stage): Promise<Watch> {
  screen.step(2, 'Start', 'Now for good, held to a rate so that there is time to watch.')
  screen.typed(`POST /runs ${JSON.stringify({ job, options })}`)
  const { id } = await client.start({ job, options })
  screen.fact(`accepted as ${id}`)
  const watch = new Watch(client, screen, fleet.failure, signal, id)
  await watch.until('a quarter of the rows', (run) => run.progress.ratio >= 0.25)
  return watch
}

async function pauseAndResume({ screen, client, pool }: Stage, watch: Watch): Promise<void> {
  screen.step(3, 'Pause', 'What reads paused changes nothing any more.')
  screen.typed(`POST /runs/${watch.id}/pause`)
  const told = await client.tell(watch.id, 'pause', 'to see whether it holds still')
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

async function lock({ screen, databaseUrl, onEnd }: Stage): Promise<HeldLocks> {
  screen.step(4, 'Locks', 'Somebody else holds rows: no reason to wait, none to leave them out.')
  screen.typed(`BEGIN; ${lockSql.replace('$1', String(rowsLocked))};`)
  const locks = await lockRowsAhead(databaseUrl, rowsLocked)
  onEnd(() => locks.release())
  screen.fact(
    `${count(locks.rows)} rows are held by backend ${locks.backend}; passed over, they are written down as stragglers`,
  )
  return locks
}

async function killWorker({ screen, client, fleet, workers, signal }: Stage, watch: Watch): Promise<void> {
  // Between two slices a worker may hold nothing: then it is not its turn to die yet.
  let held = new Map<Member, number[]>()
  await watch.until('a worker in the middle of its work', async (run) => {
    if (run.progress.ratio < 0.55) return false
    const ranges = await client.ranges(watch.id)
    held = new Map(workers.map((worker) => [worker, heldBy(worker, ranges)]))
    const busy = [...held.values()].filter((ordinals) => ordinals.length > 0).length
    // Better while another holds something too: then one sees that it goes on. Chance decides who gets which ticket.
    return busy > 1 || (busy > 0 && run.progress.ratio >= 0.65)
  })
  const [victim] = [...held].reduce((most, each) => (each[1].length > most[1].length ? each : most))
  screen.step(5, 'Crash', 'A worker dies in the middle of its work, and nobody tidies up.')
  screen.typed(`kill -9 ${victim.pid}`)
  await victim.kill()
  const lost = heldBy(victim, await client.ranges(watch.id))
  screen.fact(`${victim.name} (pid ${victim.pid}) is gone; it held ${listed('range', lost)}`)
  screen.fact(`its leases run out within ${leaseSeconds} seconds; whatever others hold goes on meanwhile`)
  await watch.until('the rescue', async () => heldBy(victim, await client.ranges(watch.id)).length === 0)
  const rescues = (await client.events(watch.id)).filter(({ kind }) => kind === 'rescued')
  const rescued = rescues.map(({ detail }) => Number(detail.range)).sort((a, b) => a - b)
  const by = new Set(rescues.map(({ actor }) => nameOf(workers, actor)))
  if (rescued.length > 0) screen.fact(`rescued by ${[...by].join(' and ')}: ${listed('range', rescued)}`)
  // A worker that was just about to take its next range may come before the rescuer, which looks once a second.
  const taken = lost.filter((ordinal) => !rescued.includes(ordinal))
  if (taken.length > 0) screen.fact(`taken over as the lease ran out: ${listed('range', taken)}`)
  const next = await fleet.start('worker', `worker ${workers.length + 1}`, signal)
  workers.push(next)
  screen.fact(`${next.name} (pid ${next.pid}) takes its place`)
}

async function waitAndRelease({ screen, client }: Stage, watch: Watch, locks: HeldLocks): Promise<void> {
  await watch.until('the run to wait for the locked rows', (run) => run.reason !== null && run.progress.stragglers > 0)
  const waiting = await client.run(watch.id)
  screen.step(6, 'Release', 'Every range is through, but it does not end: it says what it waits for.')
  screen.fact(`it reads ${waiting.status}: ${waiting.reason}`)
  // The check that follows keeps to the run's rate too, and reading the whole table at it would be as long again.
  const lifted = { maxRowsPerSecond: null, batchSize: { min: 50, max: 10_000 } }
  screen.typed(`PATCH /runs/${watch.id} ${JSON.stringify(lifted)}`)
  await client.change(watch.id, lifted)
  screen.typed('ROLLBACK;')
  await locks.release()
  screen.fact('the limit is lifted while it runs, and the rows are free')
}

async function finish({ screen }: Stage, watch: Watch): Promise<RunBody> {
  await watch.until('the stragglers', (run) => run.status === 'verifying' || run.status === 'succeeded')
  screen.step(7, 'Check', 'The whole table is read once more for rows that still match the job.')
  const run = await watch.until('the end', ({ status }) => status === 'succeeded')
  screen.clear()
  screen.fact(
    `${count(run.proof?.rowsChecked ?? 0)} rows read, ${count(run.proof?.residual ?? Number.NaN)} of them left to do: it reads ${run.status}`,
  )
  return run
}

async function concludes({ screen, client, pool, workers, rowsLoaded }: Stage, run: RunBody): Promise<string[]> {
  screen.step(8, 'Proof', 'Counted in the database, by a trigger that the job knows nothing of.')
  const wrong = await prove(pool, screen, run, rowsLoaded)
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

function heldBy(worker: Member, ranges: ReadonlyArray<{ ordinal: number; leaseOwner: string | null }>): number[] {
  return ranges.filter(({ leaseOwner }) => leaseOwner?.endsWith(`-${worker.pid}`)).map(({ ordinal }) => ordinal)
}

/** A worker calls itself by its host and process; the show by its number. */
function nameOf(workers: readonly Member[], actor: string): string {
  return workers.find(({ pid }) => actor.endsWith(`-${pid}`))?.name ?? actor
}
