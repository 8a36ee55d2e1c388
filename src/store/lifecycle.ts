import { randomBytes } from 'node:crypto'
import { nextStep } from '../core/advance.ts'
import { Problem } from '../core/errors.ts'
import { type Hold, type Override, optionsInForce, overridesInForce } from '../core/hold.ts'
import type { Cursor } from '../core/key.ts'
import { isPaced } from '../core/limits.ts'
import { crewFor, rememberedPace } from '../core/load.ts'
import { mergeOptions, type PartialRunOptions } from '../core/options.ts'
import type { KeyRange } from '../core/ranges.ts'
import { isEnded, nextStatus, type RunEvent, type RunStatus } from '../core/run.ts'
import type { Control } from './control.ts'
import { insertEvent } from './events.ts'
import { readPace, type SharedPace } from './pace.ts'
import {
  assignTickets,
  closeRange,
  fenceRanges,
  insertMissingLeaves,
  insertRanges,
  type Lease,
  listRangeStates,
  reopenResidual,
  splitRange,
  type Ticket,
  takeExpiredLeases,
  wakeRanges,
} from './ranges.ts'
import {
  clearHold,
  findLiveRun,
  findRun,
  findRunByIdempotencyKey,
  type HoldRow,
  insertRun,
  lockRun,
  type NewRun,
  type Run,
  updateFingerprint,
  updateOptions,
  updateOverrides,
  updateStatus,
  writeHold,
} from './runs.ts'
import { countStragglers, wakeStragglers } from './stragglers.ts'

/**
 * Accepts a run: the run, its ranges and the first event, which keeps what was `told` of it beforehand; or nothing of them. To be called in a transaction. A second live
 * run, and a repeated key, violate a unique index (23505): once that is rolled back, `findRepeated` and `explainConflict`
 * tell which.
 */
export async function createRun(
  tx: Control,
  run: NewRun,
  ranges: readonly KeyRange[],
  residual: readonly KeyRange[],
  told: Readonly<Record<string, unknown>> = {},
): Promise<Run> {
  const inserted = await insertRun(tx, run)
  await insertRanges(tx, inserted.id, ranges, residual)
  await insertEvent(tx, {
    runId: inserted.id,
    actor: run.createdBy,
    kind: 'created',
    detail: { params: run.params, options: run.options, ranges: ranges.length, ...told },
  })
  return inserted
}

/** What it means that a unique index was violated (23505) where there is a live run of the same; any other error is itself. */
export async function explainConflict(
  control: Control,
  run: Pick<Run, 'job' | 'paramsHash'>,
  error: unknown,
): Promise<unknown> {
  const live =
    (error as { code?: string }).code === '23505' ? await findLiveRun(control, run.job, run.paramsHash) : null
  return live ? alreadyLive(live) : error
}

/** The run that an Idempotency-Key was used for before. Throws a Problem when it was another request. */
export async function findRepeated(control: Control, key: string, requestHash: string): Promise<Run | null> {
  const run = await findRunByIdempotencyKey(control, key)
  if (run && run.requestHash !== requestHash) {
    throw new Problem(
      'invalid',
      `Idempotency-Key ${JSON.stringify(key)} was used for another request (run ${run.id}). Use a new key for a new request.`,
      { run: run.id },
    )
  }
  return run
}

function alreadyLive(live: Run): Problem {
  return new Problem(
    'conflict',
    `Job ${live.job} already has a live run with these parameters: ${live.id} is ${live.status}. Wait for it, or cancel it first.`,
    { run: live.id, status: live.status },
  )
}

/** Why, and by whom, a status changes. */
export interface Cause {
  readonly actor: string
  readonly reason?: string | null
  readonly detail?: Record<string, unknown>
}

/**
 * Moves a run along one arrow of the transition table, with its event, and commits.
 * Throws a Problem when there is no such run (`not-found`) or no such arrow (`conflict`).
 */
export async function changeStatus(control: Control, id: string, event: RunEvent, cause: Cause): Promise<Run> {
  return control.transaction(async (tx) => {
    const run = await lockRun(tx, id)
    if (!run) throw noSuchRun(id)
    return move(tx, run, event, cause)
  })
}

async function move(tx: Control, run: Run, event: RunEvent, cause: Cause): Promise<Run> {
  const status = nextStatus(run.id, run.status, event)
  // A run that has stopped must have nothing in flight by the time anybody can read so.
  // Nor may a run that is resumed before it had settled go on under the leases of before.
  if (status === 'failed' || event === 'settle' || run.status === 'pausing') await fenceRanges(tx, run.id)
  if (event === 'resume' || event === 'retry') await wakeStragglers(tx, run.id)
  // Each check reads the whole table: one that was cut short, or whose rows have been done since, proves nothing.
  if (event === 'verify') {
    await reopenResidual(tx, run.id)
    if (run.hasPredicate) await insertMissingLeaves(tx, run.id, run.target)
  }
  await refuseSecondLiveRun(tx, run, event)
  const moved = await updateStatus(tx, run.id, {
    status,
    // Settling ends what was begun with a reason: why it was paused stays readable.
    reason: event === 'settle' ? run.reason : (cause.reason ?? null),
    ended: isEnded(status),
    verifyRounds: event === 'leftover' ? run.verifyRounds + 1 : event === 'retry' ? 0 : run.verifyRounds,
  })
  await insertEvent(tx, {
    runId: run.id,
    actor: cause.actor,
    kind: event,
    detail: { from: run.status, to: status, ...(cause.reason ? { reason: cause.reason } : {}), ...cause.detail },
  })
  return moved
}

/** A failed run gives way to a new one; once there is one, it may not come back beside it. */
async function refuseSecondLiveRun(tx: Control, run: Run, event: RunEvent): Promise<void> {
  if (event !== 'retry') return
  const live = await findLiveRun(tx, run.job, run.paramsHash)
  if (live) throw alreadyLive(live)
}

/**
 * Ends a pause or a cancellation that has been asked for: waits for the batches in flight, at most `waitSeconds`, and
 * raises the epochs. Returns the run as it stands then: still `pausing` or `cancelling` when a batch took longer.
 */
export async function settleRun(control: Control, id: string, waitSeconds: number, actor: string): Promise<Run> {
  try {
    return await control.transaction(async (tx) => {
      await tx.db.query("SELECT set_config('lock_timeout', $1, true)", [`${Math.round(waitSeconds * 1000)}ms`])
      const run = await lockRun(tx, id)
      if (!run) throw noSuchRun(id)
      if (run.status !== 'pausing' && run.status !== 'cancelling') return run
      return move(tx, run, 'settle', { actor })
    })
  } catch (error) {
    if ((error as { code?: string }).code !== '55P03') throw error
    return (await findRun(control, id)) as Run
  }
}

/**
 * Says that the job as it is now is what the run shall do, and resumes or retries it, in one step. To be called in a
 * transaction; a new run that somebody starts at the same time violates a unique index: see `explainConflict`.
 */
export async function restartRun(
  tx: Control,
  id: string,
  event: 'resume' | 'retry',
  cause: Cause,
  acceptFingerprint: string | null,
): Promise<Run> {
  const run = await lockRun(tx, id)
  if (!run) throw noSuchRun(id)
  if (acceptFingerprint !== null && acceptFingerprint !== run.fingerprint) {
    await updateFingerprint(tx, id, acceptFingerprint)
    await insertEvent(tx, {
      runId: id,
      actor: cause.actor,
      kind: 'job-change-accepted',
      detail: { from: run.fingerprint, to: acceptFingerprint },
    })
  }
  return move(tx, run, event, cause)
}

/** Changes options of a run that has not ended. `ifVersion` is the version the caller has seen, or null. */
export async function changeOptions(
  control: Control,
  id: string,
  patch: PartialRunOptions,
  ifVersion: number | null,
  actor: string,
): Promise<Run> {
  return control.transaction(async (tx) => {
    const run = await lockRun(tx, id)
    if (!run) throw noSuchRun(id)
    if (ifVersion !== null && ifVersion !== run.version) throw staleVersion(id, run.version, ifVersion)
    if (isEnded(run.status) && run.status !== 'failed') {
      throw new Problem('conflict', `Run ${id} is ${run.status}: its options no longer matter.`, { from: run.status })
    }
    const options = mergeOptions(run.options, patch)
    const changed = await updateOptions(tx, id, options)
    await wakeRanges(tx, id)
    await insertEvent(tx, { runId: id, actor, kind: 'options', detail: { from: run.options, to: options } })
    return changed
  })
}

export function staleVersion(id: string, version: number, ifVersion: number): Problem {
  return new Problem('stale', `Run ${id} is at version ${version}, not ${ifVersion}: read it again, then decide.`, {
    version,
  })
}

/** After so long without a word from the process that wrote a hold, others may end it. Seconds. */
const holdStaleSeconds = 3

/** Holds a run, with an event where it was not held before. True where it was not. */
export async function holdRun(control: Control, id: string, hold: Hold, by: string): Promise<boolean> {
  return control.transaction(async (tx) => {
    const { began } = await writeHold(tx, id, hold, by, holdStaleSeconds)
    if (began) await insertEvent(tx, { runId: id, actor: by, kind: 'held', detail: { ...hold } })
    return began
  })
}

/** Lets a held run go on, with an event that says how long it was held. Null where that is not ours to say. */
export async function releaseHold(control: Control, id: string, by: string): Promise<HoldRow | null> {
  return control.transaction(async (tx) => {
    const ended = await clearHold(tx, id, by, holdStaleSeconds)
    if (!ended) return null
    const { hold, heldSeconds } = ended
    await insertEvent(tx, { runId: id, actor: by, kind: 'released', detail: { signal: hold.signal, heldSeconds } })
    return hold
  })
}

/** Lets a run ignore a signal until a time, or, with null, heed it again. `by` and `reason` stay in the events. */
export async function changeOverride(
  control: Control,
  id: string,
  signal: Override['signal'],
  change: Pick<Override, 'reason' | 'by' | 'until'> | null,
  actor: string,
): Promise<Run> {
  return control.transaction(async (tx) => {
    const run = await lockRun(tx, id)
    if (!run) throw noSuchRun(id)
    if (isEnded(run.status) && run.status !== 'failed') {
      throw new Problem('conflict', `Run ${id} is ${run.status}: there is nothing left to override.`, {
        from: run.status,
      })
    }
    const now = new Date()
    const others = overridesInForce(run.overrides, now).filter((override) => override.signal !== signal)
    const overrides = change ? [...others, { signal, since: now.toISOString(), ...change }] : others
    const changed = await updateOverrides(tx, id, overrides)
    const kind = change ? 'override' : 'override-ended'
    await insertEvent(tx, { runId: id, actor, kind, detail: { signal, ...(change ?? {}) } })
    return changed
  })
}

/** A change of status that was due by itself. */
export interface Move {
  readonly event: RunEvent
  readonly status: RunStatus
  readonly reason: string | null
}

export interface Advance {
  readonly tickets: Ticket[]
  readonly moves: readonly Move[]
}

/**
 * Gives a run what it needs next: changes of status that are due by themselves, and tickets for ranges that nobody has.
 * The caller puts the tickets on the queue after this has committed; one that gets lost there is found by the rescuer.
 */
export async function advanceRun(control: Control, id: string, actor: string): Promise<Advance> {
  return control.transaction(async (tx) => {
    let run = await lockRun(tx, id)
    const moves: Move[] = []
    while (run) {
      const shared = await readPace(tx)
      const step = nextStep({
        status: run.status,
        parallelism: workersFor(run, shared),
        // A standstill holds from its first moment; the hold that says so to people is written a moment later.
        held: run.hold !== null || shared.standstill !== null,
        ranges: await listRangeStates(tx, id),
        stragglers: await countStragglers(tx, id),
        verifyRounds: run.verifyRounds,
      })
      if (step.kind === 'dispatch') {
        const tickets = step.ordinals.map((ordinal) => ({ ordinal, id: ticketId(id, ordinal) }))
        return { tickets: await assignTickets(tx, id, tickets), moves }
      }
      run = await move(tx, run, step.event, { actor, reason: step.reason })
      moves.push({ event: step.event, status: run.status, reason: run.reason })
    }
    return { tickets: [], moves }
  })
}

/** No more than the load is enough for: the others would only wait, and not hear that it has grown. */
function workersFor({ options, overrides }: Run, { pace, age }: SharedPace): number {
  if (!isPaced(optionsInForce(options, overrides, new Date()))) return options.parallelism
  return Math.min(options.parallelism, crewFor(rememberedPace(pace, age)))
}

// A fresh id for every wake-up: a queue that remembers an id refuses it the second time.
function ticketId(runId: string, ordinal: number): string {
  return `${runId}.${ordinal}.${randomBytes(6).toString('hex')}`
}

/** Gives away what is left of a leased range behind the first of these keys. False when the lease is not what it was. */
export async function splitLease(
  control: Control,
  lease: Parameters<typeof splitRange>[1],
  keys: readonly Cursor[],
  batchSize: number,
): Promise<boolean> {
  return control.transaction(async (tx) => {
    // The run before its ranges, as everywhere.
    await lockRun(tx, lease.runId)
    return splitRange(tx, lease, keys, batchSize)
  })
}

/** Ends a leased range whose partition was dropped or detached: what is not in the table is not the run's to change. */
export async function closeGoneRange(control: Control, lease: Lease, actor: string): Promise<void> {
  await control.transaction(async (tx) => {
    if (!(await closeRange(tx, lease))) return
    await insertEvent(tx, {
      runId: lease.runId,
      actor,
      kind: 'partition-gone',
      detail: { range: lease.ordinal, partition: lease.leaf },
    })
  })
}

/** Takes ranges from workers that have gone quiet, each with its event; returns how many. */
export async function rescueRanges(control: Control, actor: string): Promise<number> {
  return control.transaction(async (tx) => {
    const lost = await takeExpiredLeases(tx)
    for (const { runId, ordinal, owner } of lost) {
      await insertEvent(tx, { runId, actor, kind: 'rescued', detail: { range: ordinal, lostBy: owner } })
    }
    return lost.length
  })
}

export function noSuchRun(id: string): Problem {
  return new Problem('not-found', `There is no run ${JSON.stringify(id)}. GET /runs lists them.`)
}
