import { randomUUID } from 'node:crypto'
import { setMaxListeners } from 'node:events'
import { messageOf } from '../../../src/core/errors.ts'
import { isEnded, type RunStatus } from '../../../src/core/run/status.ts'
import { signalNames } from '../../../src/core/throttle/signal.ts'
import { until } from '../../support/until.ts'
import { type Fault, last } from './fault.ts'
import { fillTable } from './jobs.ts'
import { judgeRun } from './oracle.ts'
import { faultsOf, type Plan, planOf, type Stroke } from './plan.ts'
import { type QueueKind, type StormRun, World } from './world.ts'

/** How long runs may stand still once everything is put right again, and how long they may take in all, on a machine that has much else to do. */
const stillSeconds = 60
const endWithinSeconds = 300
const settleWithinSeconds = 20
const lookEveryMs = 100

/** No signal counts in a storm: it is about what is right, not about how fast. */
const unpaced = Object.fromEntries(signalNames.map((name) => [name, false]))
const withBadRows = { maxQuarantined: 2000, succeedWithQuarantined: true }
/** With these a run comes to its end soon. */
const atEase = {
  batchSize: { min: 1, max: 60 },
  targetBatchSeconds: 0.3,
  parallelism: 4,
  maxRowsPerSecond: null,
  schedule: null,
}

export interface Inflicted extends Stroke {
  /** When it was over, in milliseconds after the start. */
  readonly endedMs: number
  /** Why it could not be done, or not to the end; null where it was. */
  readonly missed: string | null
}

export interface Round {
  readonly plan: Plan
  readonly seconds: number
  readonly rows: number
  readonly faults: readonly Inflicted[]
  /** What is not as it must be; nothing where all is right. */
  readonly wrong: readonly string[]
  /** What the processes said, where something went wrong. */
  readonly logs: string | null
}

/** Rounds of faults, one after the other, on one world that is put right after each. */
export class Storm {
  readonly queue: QueueKind
  readonly #program: string
  #world: World | null = null

  constructor(queue: QueueKind, program: string) {
    this.queue = queue
    this.#program = program
  }

  /** One round, as its seed tells it. A world in which something went wrong is left, with its logs; the next round has another. */
  async round(seed: number): Promise<Round> {
    const plan = planOf(seed, this.queue)
    const began = performance.now()
    const faults: Inflicted[] = []
    let wrong: string[]
    try {
      this.#world ??= await World.create(this.queue, this.#program)
      wrong = await play(this.#world, plan, faults)
    } catch (error) {
      wrong = [error instanceof Error ? (error.stack ?? error.message) : String(error)]
    }
    const logs = wrong.length > 0 ? (this.#world?.parts.folder ?? null) : null
    if (wrong.length > 0) await this.close({ keepLogs: true })
    const seconds = (performance.now() - began) / 1000
    return { plan, seconds, rows: plan.rows * plan.runs.length, faults, wrong, logs }
  }

  async close(how: { keepLogs?: boolean } = {}): Promise<void> {
    const world = this.#world
    this.#world = null
    await world?.close(how)
  }
}

async function play(world: World, plan: Plan, faults: Inflicted[]): Promise<string[]> {
  await startRuns(world, plan)
  await strike(world, plan, faults)
  await putRight(world)
  const ended = await untilEnded(world)
  const unended = ended.filter(({ status }) => status !== 'succeeded')
  if (unended.length > 0) return unended.map(({ id, status, reason }) => `${id} is ${status}: ${reason}`)
  await untilNothingIsTaken(world)
  const verdicts = await Promise.all(world.runs.map((run) => judgeRun(world, run)))
  return [...verdicts.flat(), ...world.members.flatMap(({ surprise }) => surprise ?? [])]
}

async function startRuns(world: World, { runs, rows, badEvery, ms, options }: Plan): Promise<void> {
  for (const table of new Set(runs.map((job) => job.table))) await fillTable(world.pool, table, rows, badEvery)
  const started: StormRun[] = []
  for (const job of runs) {
    const body = { job: job.name, params: { ms }, options: { ...options, ...withBadRows, signals: unpaced } }
    // The API may be at getting over what the round before did to it; the same request twice is one run.
    const key = randomUUID()
    const call = () => world.call<{ id: string }>('POST', '/runs', body, { 'idempotency-key': key })
    started.push({ id: (await until(`a run of ${job.name} to be accepted`, call)).id, job })
  }
  world.runs = started
}

/** Lets everything go wrong that the plan says, each in its time; returns when all of it is undone. */
async function strike(world: World, { strokes }: Plan, faults: Inflicted[]): Promise<void> {
  const calm = new AbortController()
  setMaxListeners(0, calm.signal)
  const known = faultsOf(world.parts.queue)
  const busy = new Set<string>()
  const began = performance.now()
  const note = (stroke: Stroke, missed: string | null) =>
    faults.push({ ...stroke, endedMs: Math.round(performance.now() - began), missed })
  const one = async (stroke: Stroke) => {
    await last(stroke.atMs, calm.signal)
    if (calm.signal.aborted) return
    const fault = known[stroke.name] as Fault
    const victim = fault.victim(stroke.drawn)
    if (victim !== null && busy.has(victim)) {
      note(stroke, `${victim} was down already`)
      return
    }
    if (victim !== null) busy.add(victim)
    try {
      await fault.inflict(world, stroke.drawn, calm.signal)
      note(stroke, null)
    } catch (error) {
      // Other faults are at work: a Postgres that is down has no session to end. Whatever had begun has been undone.
      note(stroke, messageOf(error))
    } finally {
      if (victim !== null) busy.delete(victim)
    }
  }
  const all = Promise.all(strokes.map(one))
  // Where nothing is left to be disturbed the rest of the faults would hit nobody.
  const over = endedDuring(world, calm.signal).then(() => calm.abort())
  await all
  calm.abort()
  await over
}

async function endedDuring(world: World, calm: AbortSignal): Promise<void> {
  while (!calm.aborted) {
    const runs = await standings(world).catch(() => [])
    if (runs.length > 0 && runs.every(({ status }) => isEnded(status))) return
    await last(lookEveryMs, calm)
  }
}

/** What the faults could not undo by themselves: processes that found no database to start with, and what operators left. */
async function putRight(world: World): Promise<void> {
  await world.startAll()
  await until('everything to be told to go on', async () => {
    await world.call('POST', '/resume', {})
    return true
  })
  for (const { id } of world.runs) {
    await until(`the options of ${id} to be changed`, async () => {
      const run = (await standings(world)).find((standing) => standing.id === id)
      if (run && isEnded(run.status)) return true
      await world.call('PATCH', `/runs/${id}`, atEase)
      return true
    })
  }
}

interface Standing {
  readonly id: string
  readonly status: RunStatus
  readonly reason: string | null
  /** How often its ranges were written by a batch. */
  readonly batches: number
}

function standings(world: World): Promise<Standing[]> {
  return world.query<Standing>(
    `SELECT id, status, reason, (SELECT sum(batches)::int FROM evenkeel.ranges WHERE run_id = id) AS batches
     FROM evenkeel.runs WHERE id = ANY($1) ORDER BY id`,
    [world.runs.map(({ id }) => id)],
  )
}

/** Waits for all runs. A pause that was asked for long ago, by a call that nobody waited for any more, is ended here. */
async function untilEnded(world: World): Promise<Standing[]> {
  let moved = { at: performance.now(), standing: '' }
  const look = async () => {
    const runs = await standings(world)
    for (const { id, status } of runs) if (status === 'paused') await world.call('POST', `/runs/${id}/resume`, {})
    const standing = JSON.stringify(runs)
    if (standing !== moved.standing) moved = { at: performance.now(), standing }
    return runs
  }
  const isStill = () => performance.now() - moved.at > stillSeconds * 1000
  const runs = await until(
    'the runs to end',
    look,
    (all) => isStill() || all.every(({ status }) => isEnded(status)),
    endWithinSeconds,
  )
  if (isStill()) throw new Error(`nothing has moved for ${stillSeconds} s: ${moved.standing}`)
  return runs
}

/** Whoever ended a run is still giving its last range back. */
async function untilNothingIsTaken(world: World): Promise<void> {
  const taken = () =>
    world.query(
      `SELECT run_id, ordinal, phase, done, lease_owner, lease_until, ticket FROM evenkeel.ranges
       WHERE run_id = ANY($1) AND (lease_owner IS NOT NULL OR lease_until IS NOT NULL OR ticket IS NOT NULL)`,
      [world.runs.map(({ id }) => id)],
    )
  await until('every range to be given back', taken, (ranges) => ranges.length === 0, settleWithinSeconds)
}
