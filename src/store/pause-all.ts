import { z } from 'zod'
import type { Pause } from '../core/run/pause.ts'
import { liveStatuses, type RunStatus, runStatuses, transitions, workableStatuses } from '../core/run/status.ts'
import { isSqlState } from '../core/sqlstate.ts'
import { command, statement } from '../postgres/statement.ts'
import { type Control, limitLockWait } from './control.ts'
import { insertEvents } from './events.ts'
import { endGlobalPause } from './pace.ts'
import { listPauses } from './pauses.ts'
import { fenceRanges } from './ranges.ts'
import { settleRates } from './row-rates.ts'
import { updateStatuses } from './run-changes.ts'
import { wakeStragglers } from './stragglers.ts'

const movedColumns = { id: z.string(), from: z.enum(runStatuses) }

/** A run and its status before the change. */
type Moved = Readonly<z.output<z.ZodObject<typeof movedColumns>>>

/**
 * The longest wait for a lock while several runs are locked together: other sessions must not wait long for them.
 * Seconds.
 */
const lockSeconds = 0.2
const stoppable = liveStatuses.filter((status) => status !== 'cancelling')

const pauseUnlockedRunsSql = statement(
  'pauseUnlockedRuns',
  movedColumns,
  (s) => `WITH free AS (
         SELECT id, status FROM ${s}.runs WHERE status = ANY($1) ORDER BY id FOR NO KEY UPDATE SKIP LOCKED
       ), paused AS (
         INSERT INTO ${s}.pauses (run_id, kind, actor, reason) SELECT id, 'global', $2, $3 FROM free
         ON CONFLICT (run_id, kind) DO NOTHING
       )
       SELECT id, status AS "from" FROM free WHERE status = ANY($4) ORDER BY id`,
)

/**
 * Pauses all runs whose rows are not locked, in one transaction for any number of runs. A run that is already paused
 * takes `POST /pause` as one more reason. Returns the runs that were not paused before.
 */
export async function pauseUnlockedRuns(control: Control, actor: string, reason: string | null): Promise<string[]> {
  return control.transaction(async (tx) => {
    const paused = await pauseUnlockedRunsSql.rows(tx, [stoppable, actor, reason, workableStatuses])
    await move(tx, paused, 'pause', actor, reason)
    return paused.map(({ id }) => id)
  })
}

const listUnpausedRunsSql = statement(
  'listUnpausedRuns',
  { id: z.string(), status: z.enum(runStatuses) },
  (s) => `SELECT r.id, r.status FROM ${s}.runs r WHERE r.status = ANY($1)
       AND NOT EXISTS (SELECT FROM ${s}.pauses p WHERE p.run_id = r.id AND p.kind = 'global') ORDER BY r.number, r.id`,
)

/** The runs that `pauseUnlockedRuns` had to skip. */
export function listUnpausedRuns(
  control: Control,
): Promise<Array<{ readonly id: string; readonly status: RunStatus }>> {
  return listUnpausedRunsSql.rows(control, [stoppable])
}

/**
 * Ends the global pause and lifts the pauses set by `POST /pause`. Returns the runs that continue. Runs with another
 * reason stay paused.
 */
export async function resumeEverything(control: Control, actor: string, reason: string | null): Promise<string[]> {
  return control.transaction(async (tx) => {
    await endGlobalPause(tx)
    const held = await lockHeldRuns(tx)
    const pauses = await liftEverything(tx, held)
    const going = held.filter(({ id }) => !pauses.has(id))
    const ids = going.map(({ id }) => id)
    // A run that had not drained must not continue under its old leases.
    const unsettled = going.filter(({ from }) => from === 'pausing').map(({ id }) => id)
    await fenceRanges(tx, unsettled)
    await settleRates(tx, unsettled)
    await wakeStragglers(tx, ids)
    await move(tx, going, 'resume', actor, reason)
    await stay(
      tx,
      held.filter(({ id }) => pauses.has(id)),
      pauses,
      actor,
    )
    return ids
  })
}

const lockGloballyPausedSql = statement(
  'lockGloballyPaused',
  { id: z.string() },
  (
    s,
  ) => `SELECT r.id FROM ${s}.runs r WHERE EXISTS (SELECT FROM ${s}.pauses p WHERE p.run_id = r.id AND p.kind = 'global')
     ORDER BY r.id FOR NO KEY UPDATE`,
)

const listPausedSql = statement(
  'listPaused',
  movedColumns,
  (s) =>
    `SELECT id, status AS "from" FROM ${s}.runs WHERE id = ANY($1) AND status IN ('pausing', 'paused') ORDER BY id`,
)

/** Locks the runs that `POST /pause` has paused, then reads them, so that the result stays current. */
async function lockHeldRuns(tx: Control): Promise<Moved[]> {
  const locked = await lockGloballyPausedSql.rows(tx)
  return listPausedSql.rows(tx, [locked.map(({ id }) => id)])
}

const liftGlobalPausesSql = command(
  'liftGlobalPauses',
  (s) => `DELETE FROM ${s}.pauses WHERE kind = 'global' AND run_id = ANY($1)`,
)

/** Returns the remaining pauses. */
async function liftEverything(tx: Control, held: readonly Moved[]): Promise<Map<string, Pause[]>> {
  const ids = held.map(({ id }) => id)
  await liftGlobalPausesSql.run(tx, [ids])
  return listPauses(tx, ids)
}

const giveReasonsSql = command(
  'giveReasons',
  (s) => `UPDATE ${s}.runs r SET reason = given.reason, version = version + 1
     FROM unnest($1::text[], $2::text[]) AS given (id, reason) WHERE r.id = given.id`,
)

/** Keeps runs paused, each with the first remaining reason. */
async function stay(
  tx: Control,
  runs: readonly Moved[],
  pauses: ReadonlyMap<string, readonly Pause[]>,
  actor: string,
): Promise<void> {
  await giveReasonsSql.run(tx, [runs.map(({ id }) => id), runs.map(({ id }) => pauses.get(id)?.[0]?.reason ?? null)])
  await insertEvents(
    tx,
    runs.map(({ id, from }) => ({ runId: id, actor, kind: 'resume', detail: { from, to: from } })),
  )
}

const lockIdleStoppingRunsSql = statement(
  'lockIdleStoppingRuns',
  movedColumns,
  (s) => `SELECT n.id, n.status AS "from" FROM ${s}.runs n WHERE n.status IN ('pausing', 'cancelling')
       AND NOT EXISTS (SELECT FROM ${s}.ranges r WHERE r.run_id = n.id AND r.lease_owner IS NOT NULL)
     ORDER BY n.id FOR NO KEY UPDATE OF n SKIP LOCKED`,
)

/**
 * Ends the pauses and cancellations of runs without leased ranges, in one transaction for any number of runs. Returns
 * these runs; the others have batches in flight. Returns none if a range is locked all the same: each run is then left
 * to `settleRun`.
 */
export async function settleIdleRuns(control: Control, actor: string): Promise<string[]> {
  try {
    return await control.transaction(async (tx) => {
      await limitLockWait(tx, lockSeconds)
      const idle = await lockIdleStoppingRunsSql.rows(tx)
      const ids = idle.map(({ id }) => id)
      await fenceRanges(tx, ids)
      await settleRates(tx, ids)
      await move(tx, idle, 'drained', actor, null)
      return ids
    })
  } catch (error) {
    if (!isSqlState(error, 'lock_not_available')) throw error
    return []
  }
}

/** Moves runs along one arrow of the transition table and records the events. The caller has locked their rows. */
async function move(
  tx: Control,
  runs: readonly Moved[],
  event: 'pause' | 'resume' | 'drained',
  actor: string,
  reason: string | null,
): Promise<void> {
  const moved = runs.map(({ id, from }) => {
    const to = transitions[from][event]
    if (to === null) throw new Error(`cannot ${event} run ${id}: it is ${from}`)
    return { id, from, to }
  })
  await updateStatuses(tx, moved, event === 'drained' ? null : { reason })
  await insertEvents(
    tx,
    moved.map(({ id, from, to }) => ({
      runId: id,
      actor,
      kind: event,
      detail: { from, to, ...(reason === null ? {} : { reason }) },
    })),
  )
}
