import type { Pause } from '../core/run/pause.ts'
import { liveStatuses, type RunStatus, transitions, workableStatuses } from '../core/run/status.ts'
import { isSqlState } from '../core/sqlstate.ts'
import { type Control, limitLockWait } from './control.ts'
import { insertEvents } from './events.ts'
import { endGlobalPause } from './pace.ts'
import { listPauses } from './pauses.ts'
import { fenceRanges } from './ranges.ts'
import { settleRates } from './row-rates.ts'
import { updateStatuses } from './run-changes.ts'
import { wakeStragglers } from './stragglers.ts'

/** A run and what became of it. */
interface Moved {
  readonly id: string
  readonly from: RunStatus
}

/** While several runs are settled together, their rows are locked: others must not wait long for them. */
const lockSeconds = 0.2
const stoppable = liveStatuses.filter((status) => status !== 'cancelling')

/**
 * Pauses all runs but those whose rows another session has locked, in one transaction however many they are. A run that is paused
 * already takes `POST /pause` as one more reason. Returns those that were not paused before.
 */
export async function pauseUnlockedRuns(control: Control, actor: string, reason: string | null): Promise<string[]> {
  return control.transaction(async (tx) => {
    const { rows } = await tx.db.query<Moved>(
      `WITH free AS (
         SELECT id, status FROM ${tx.s}.runs WHERE status = ANY($1) ORDER BY id FOR NO KEY UPDATE SKIP LOCKED
       ), paused AS (
         INSERT INTO ${tx.s}.pauses (run_id, kind, actor, reason) SELECT id, 'global', $2, $3 FROM free
         ON CONFLICT (run_id, kind) DO NOTHING
       )
       SELECT id, status AS "from" FROM free WHERE status = ANY($4) ORDER BY id`,
      [stoppable, actor, reason, workableStatuses],
    )
    await move(tx, rows, 'pause', actor, reason)
    return rows.map(({ id }) => id)
  })
}

/** The runs that `pauseFreeRuns` had to leave out. */
export async function listUnpausedRuns({
  db,
  s,
}: Control): Promise<Array<{ readonly id: string; readonly status: RunStatus }>> {
  const { rows } = await db.query<{ id: string; status: RunStatus }>(
    `SELECT r.id, r.status FROM ${s}.runs r WHERE r.status = ANY($1)
       AND NOT EXISTS (SELECT FROM ${s}.pauses p WHERE p.run_id = r.id AND p.kind = 'global') ORDER BY r.number, r.id`,
    [stoppable],
  )
  return rows
}

/** Ends the global pause and lifts what `POST /pause` paused. Returns the runs that go on; those with a reason left stay paused. */
export async function resumeEverything(control: Control, actor: string, reason: string | null): Promise<string[]> {
  return control.transaction(async (tx) => {
    await endGlobalPause(tx)
    const held = await lockHeldRuns(tx)
    const pauses = await liftEverything(tx, held)
    const going = held.filter(({ id }) => !pauses.has(id))
    const ids = going.map(({ id }) => id)
    // One that had not settled must not go on under the leases of before.
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

/** Runs that `POST /pause` has paused. What is read of them after this is as it stays. */
async function lockHeldRuns({ db, s }: Control): Promise<Moved[]> {
  const { rows } = await db.query<{ id: string }>(
    `SELECT r.id FROM ${s}.runs r WHERE EXISTS (SELECT FROM ${s}.pauses p WHERE p.run_id = r.id AND p.kind = 'global')
     ORDER BY r.id FOR NO KEY UPDATE`,
  )
  const { rows: held } = await db.query<Moved>(
    `SELECT id, status AS "from" FROM ${s}.runs WHERE id = ANY($1) AND status IN ('pausing', 'paused') ORDER BY id`,
    [rows.map(({ id }) => id)],
  )
  return held
}

/** Returns the reasons that are left. */
async function liftEverything(tx: Control, held: readonly Moved[]): Promise<Map<string, Pause[]>> {
  const ids = held.map(({ id }) => id)
  await tx.db.query(`DELETE FROM ${tx.s}.pauses WHERE kind = 'global' AND run_id = ANY($1)`, [ids])
  return listPauses(tx, ids)
}

/** Runs that stay paused: each for the first reason that is left. */
async function stay(
  tx: Control,
  runs: readonly Moved[],
  pauses: ReadonlyMap<string, readonly Pause[]>,
  actor: string,
): Promise<void> {
  await tx.db.query(
    `UPDATE ${tx.s}.runs r SET reason = given.reason, version = version + 1
     FROM unnest($1::text[], $2::text[]) AS given (id, reason) WHERE r.id = given.id`,
    [runs.map(({ id }) => id), runs.map(({ id }) => pauses.get(id)?.[0]?.reason ?? null)],
  )
  await insertEvents(
    tx,
    runs.map(({ id, from }) => ({ runId: id, actor, kind: 'resume', detail: { from, to: from } })),
  )
}

/**
 * Ends the pauses and cancellations of runs that no worker has a range of, in one transaction however many they are. Returns those;
 * the others have batches to be waited for. None where a range is locked all the same: then each run is for `settleRun`.
 */
export async function settleIdleRuns(control: Control, actor: string): Promise<string[]> {
  try {
    return await control.transaction(async (tx) => {
      await limitLockWait(tx, lockSeconds)
      const { rows } = await tx.db.query<Moved>(
        `SELECT n.id, n.status AS "from" FROM ${tx.s}.runs n WHERE n.status IN ('pausing', 'cancelling')
           AND NOT EXISTS (SELECT FROM ${tx.s}.ranges r WHERE r.run_id = n.id AND r.lease_owner IS NOT NULL)
         ORDER BY n.id FOR NO KEY UPDATE OF n SKIP LOCKED`,
      )
      const ids = rows.map(({ id }) => id)
      await fenceRanges(tx, ids)
      await settleRates(tx, ids)
      await move(tx, rows, 'drained', actor, null)
      return ids
    })
  } catch (error) {
    if (!isSqlState(error, 'lock_not_available')) throw error
    return []
  }
}

/** Moves runs along one arrow of the table, with their events. Their rows are locked. */
async function move(
  tx: Control,
  runs: readonly Moved[],
  event: 'pause' | 'resume' | 'drained',
  actor: string,
  reason: string | null,
): Promise<void> {
  const moved = runs.map(({ id, from }) => {
    const to = transitions[from][event]
    if (to === null) throw new Error(`${id} is ${from}: ${event} leads nowhere from there`)
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
