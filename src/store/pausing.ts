import { Problem } from '../core/errors.ts'
import { ownPauses } from '../core/run/pause.ts'
import { nextStatus, type RunStatus } from '../core/run/status.ts'
import { storable } from '../core/sql/text.ts'
import type { Control } from './control.ts'
import { type Cause, tellEvent } from './events.ts'
import { deletePauses, insertPause, listPauses } from './pauses.ts'
import type { Run } from './run.ts'
import { updateStatus } from './run-changes.ts'

/** Whether a pause keeps a run from working. */
export function isPaused(status: RunStatus): boolean {
  return status === 'paused' || status === 'pausing'
}

/** Adds a reason to a paused run. Throws a Problem (`conflict`) if it has one of that kind already. */
export async function addPause(tx: Control, run: Run, cause: Cause): Promise<Run> {
  if (!(await pauseFor(tx, run, cause))) nextStatus(run.id, run.status, 'pause')
  // A reason given for this run is more precise than one given for all runs.
  const reason = cause.pause === 'global' ? run.reason : cause.reason ? storable(cause.reason) : run.reason
  return stayPaused(tx, run, 'pause', cause, reason)
}

/** Adds a reason to pause the run. False if it has one of that kind. */
export function pauseFor(tx: Control, { id }: Run, { actor, reason = null, pause = 'run' }: Cause): Promise<boolean> {
  return insertPause(tx, id, { kind: pause, by: actor, reason: reason && storable(reason) })
}

/** Records that the reasons of a paused run have changed. */
async function stayPaused(
  tx: Control,
  run: Run,
  event: 'pause' | 'resume',
  cause: Cause,
  reason: string | null,
): Promise<Run> {
  const { status, verifyRounds } = run
  const kept = await updateStatus(tx, run.id, { status, reason, ended: false, verifyRounds })
  await tellEvent(tx, run, event, status, cause)
  return kept
}

/**
 * Lifts the run's own pauses. Null if no pause of any kind is left, else the run, which stays paused. Throws a Problem
 * (`conflict`) if the run has no pause of its own.
 */
export async function liftOwnPauses(tx: Control, run: Run, cause: Cause): Promise<Run | null> {
  nextStatus(run.id, run.status, 'resume')
  const lifted = await deletePauses(tx, run.id, ownPauses)
  const [left] = (await listPauses(tx, [run.id])).get(run.id) ?? []
  if (!left) return null
  if (lifted > 0) return stayPaused(tx, run, 'resume', cause, left.reason)
  throw new Problem(
    'conflict',
    `Cannot resume run ${run.id} alone: ${left.by} paused all runs at ${left.since.toISOString()}. POST /resume resumes them.`,
    { from: run.status, event: 'resume', legal: ['cancel'] },
  )
}
