import { Problem } from '../core/errors.ts'
import { mergeOptions, type PartialRunOptions } from '../core/job/options.ts'
import type { PhaseRange } from '../core/range/range.ts'
import type { Pause } from '../core/run/pause.ts'
import { isEnded, isOver, nextStatus, type RunEvent } from '../core/run/status.ts'
import { storable } from '../core/sql/text.ts'
import { isSqlState } from '../core/sqlstate.ts'
import { type Control, limitLockWait, waitForStandbys } from './control.ts'
import { type Cause, insertEvent, tellEvent } from './events.ts'
import { forgetLeftovers, sendLeftoversBack } from './leftovers.ts'
import { deletePauses } from './pauses.ts'
import { addPause, isPaused, liftOwnPauses, pauseFor } from './pausing.ts'
import { discardQuarantined, releaseQuarantined } from './quarantine.ts'
import { appendRanges, fenceRanges, reopenResidual, wakeRanges } from './ranges.ts'
import { insertRate, settleRates } from './row-rates.ts'
import type { Run } from './run.ts'
import {
  forgetVerifyRounds,
  insertRun,
  type NewRun,
  updateFingerprint,
  updateOptions,
  updateStatus,
} from './run-changes.ts'
import { findRun, lockRun } from './runs.ts'
import { refuseSecondLiveRun } from './second-run.ts'
import { refuseLocked } from './standby-wait.ts'
import { wakeStragglers } from './stragglers.ts'

/**
 * Inserts a run, its ranges and a `created` event that carries `told`: all or nothing. Call it in a transaction. A
 * second live run or a repeated key violates a unique index (23505). After the rollback, `findRepeated` and
 * `explainConflict` of second-run.ts tell which.
 */
export async function createRun(
  tx: Control,
  run: NewRun,
  ranges: readonly PhaseRange[],
  told: { readonly space?: string; readonly findings?: readonly string[] } = {},
): Promise<Run> {
  await waitForStandbys(tx)
  const inserted = await insertRun(tx, run)
  await insertRate(tx, inserted.id)
  await appendRanges(tx, inserted.id, ranges)
  const slices = ranges.filter(({ phase }) => phase === 'keys').length
  await insertEvent(tx, {
    runId: inserted.id,
    actor: run.createdBy,
    kind: 'created',
    detail: { params: run.params, options: run.options, ranges: slices, ...told },
  })
  return inserted
}

/** Pauses a new run for these reasons, in the transaction that created it. No worker knows the run yet. */
export async function pauseNewRun(tx: Control, run: Run, pauses: readonly Pause[]): Promise<void> {
  let paused = run
  for (const { kind, by, reason } of pauses) {
    const cause = { actor: by, reason, pause: kind }
    paused = isPaused(paused.status) ? await addPause(tx, paused, cause) : await moveRun(tx, paused, 'pause', cause)
  }
  if (paused.status === 'pausing') await moveRun(tx, paused, 'drained', { actor: run.createdBy })
}

/**
 * Moves a run along one arrow of the transition table, records the event, and commits. Throws a Problem if there is no
 * such run (`not-found`) or no such arrow (`conflict`).
 */
export async function changeStatus(control: Control, id: string, event: RunEvent, cause: Cause): Promise<Run> {
  return control.transaction(async (tx) => {
    const run = await lockRun(tx, id)
    if (!run) throw noSuchRun(id)
    return moveRun(tx, run, event, cause)
  })
}

/**
 * Pauses or cancels a run, waiting at most `waitSeconds` for its row. A run that is already paused takes one more
 * reason. Throws a Problem (`unavailable`) if another session keeps the row locked.
 */
export async function stopRun(
  control: Control,
  id: string,
  event: 'pause' | 'cancel',
  cause: Cause,
  waitSeconds: number,
): Promise<Run> {
  try {
    return await control.transaction(async (tx) => {
      await limitLockWait(tx, waitSeconds)
      const run = await lockRun(tx, id)
      if (!run) throw noSuchRun(id)
      if (event === 'pause' && isPaused(run.status)) return addPause(tx, run, cause)
      return moveRun(tx, run, event, cause)
    })
  } catch (error) {
    throw await refuseLocked(control, `Cannot ${event} run ${id}`, waitSeconds, error)
  }
}

/** Like `changeStatus`, in a transaction that holds the run's row. */
export async function moveRun(tx: Control, run: Run, event: RunEvent, cause: Cause): Promise<Run> {
  const stays = event === 'resume' ? await liftOwnPauses(tx, run, cause) : null
  if (stays) return stays
  const status = nextStatus(run.id, run.status, event)
  if (event === 'pause') await pauseFor(tx, run, cause)
  if (event === 'cancel' || event === 'fail') await deletePauses(tx, run.id)
  // A reader of this status may drop a column, so a failover must not undo it.
  if (event === 'succeed') await waitForStandbys(tx)
  // A stopped run must have no batch in flight by the time its status can be read. An ended run must not keep a lease
  // either, because the rescuer does not scan ended runs. A run resumed before it has drained must not continue under
  // its old leases.
  if (isEnded(status) || event === 'drained' || (event === 'resume' && run.status === 'pausing')) {
    await fenceRanges(tx, [run.id])
    await settleRates(tx, [run.id])
  }
  if (event === 'resume' || event === 'retry') await wakeStragglers(tx, [run.id])
  // Each check reads the whole table. An interrupted one proves nothing, nor does one whose rows were done after it.
  if (event === 'verify') {
    await reopenResidual(tx, run.id)
    await forgetLeftovers(tx, run.id)
  }
  if (event === 'found-remaining') await sendLeftoversBack(tx, run.id)
  if (event === 'retry') await refuseSecondLiveRun(tx, run)
  const moved = await updateStatus(tx, run.id, {
    status,
    // Draining completes a pause or a cancellation. The reason of that stays readable.
    reason: event === 'drained' ? run.reason : cause.reason ? storable(cause.reason) : null,
    ended: isEnded(status),
    verifyRounds: event === 'found-remaining' ? run.verifyRounds + 1 : event === 'retry' ? 0 : run.verifyRounds,
  })
  await tellEvent(tx, run, event, status, cause)
  return moved
}

/**
 * Completes a pause or a cancellation: waits at most `waitSeconds` for batches in flight and raises the epochs. Returns
 * the run, still `pausing` or `cancelling` if a batch took longer.
 */
export async function settleRun(control: Control, id: string, waitSeconds: number, actor: string): Promise<Run> {
  try {
    return await control.transaction(async (tx) => {
      await limitLockWait(tx, waitSeconds)
      const run = await lockRun(tx, id)
      if (!run) throw noSuchRun(id)
      if (run.status !== 'pausing' && run.status !== 'cancelling') return run
      return moveRun(tx, run, 'drained', { actor })
    })
  } catch (error) {
    if (!isSqlState(error, 'lock_not_available')) throw error
    const run = await findRun(control, id)
    if (!run) throw noSuchRun(id)
    return run
  }
}

/**
 * Accepts the current job definition for the run, and resumes or retries it, in one step. Call it in a transaction. A
 * new run started at the same time violates a unique index: see `explainConflict`.
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
  return moveRun(tx, run, event, cause)
}

/**
 * Retries quarantined rows: these ids, or all. A failed run continues with them. Returns how many. Call it in a
 * transaction, as `restartRun`.
 */
export async function retryQuarantined(
  tx: Control,
  id: string,
  ids: readonly string[] | null,
  cause: Cause,
  acceptFingerprint: string | null,
): Promise<number> {
  const run = await lockRun(tx, id)
  if (!run) throw noSuchRun(id)
  if (isOver(run.status)) {
    throw new Problem(
      'conflict',
      `Cannot retry rows of run ${id}: it has ended (${run.status}). Start a new run, which does the rows that are not done.`,
      { from: run.status },
    )
  }
  const rows = await releaseQuarantined(tx, id, ids)
  if (rows === 0) return rows
  await insertEvent(tx, { runId: id, actor: cause.actor, kind: 'quarantine-retried', detail: { rows, ids } })
  await forgetVerifyRounds(tx, id)
  if (run.status === 'failed') await restartRun(tx, id, 'retry', cause, acceptFingerprint)
  return rows
}

/** Discards quarantined rows: these ids, or all. They no longer keep the run from succeeding. Returns how many. */
export async function discardFromQuarantine(
  tx: Control,
  id: string,
  ids: readonly string[] | null,
  actor: string,
  reason: string,
): Promise<number> {
  if (!(await lockRun(tx, id))) throw noSuchRun(id)
  const rows = await discardQuarantined(tx, id, ids, actor, reason)
  if (rows > 0) await insertEvent(tx, { runId: id, actor, kind: 'quarantine-discarded', detail: { rows, ids, reason } })
  return rows
}

/** Changes options of a run that has not ended. `ifVersion` is the version that the caller has read, or null. */
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
      throw new Problem('conflict', `Cannot change the options of run ${id}: it has ended (${run.status}).`, {
        from: run.status,
      })
    }
    const options = mergeOptions(run.options, patch)
    const changed = await updateOptions(tx, id, options)
    await wakeRanges(tx, id)
    await settleRates(tx, [id])
    await insertEvent(tx, { runId: id, actor, kind: 'options', detail: { from: run.options, to: options } })
    return changed
  })
}

export function staleVersion(id: string, version: number, ifVersion: number): Problem {
  return new Problem(
    'stale',
    `Run ${id} is at version ${version}, not ${ifVersion}. Read it again before you change it.`,
    {
      version,
    },
  )
}

export function noSuchRun(id: string): Problem {
  return new Problem('not-found', `There is no run ${JSON.stringify(id)}. GET /runs lists them.`)
}
