import { Problem } from '../core/errors.ts'
import { isSqlState } from '../core/sqlstate.ts'
import type { Control } from './control.ts'
import type { Run } from './run.ts'
import { findLiveRun, findRunByIdempotencyKey, findSucceeded } from './runs.ts'

/**
 * Throws a Problem (`conflict`) if a run of a job without a predicate has already succeeded with the same parameters.
 * Such a job leaves no mark in its rows, so a second run would do each row again. The new run is inserted in the same
 * transaction. The index of live runs keeps any other run from succeeding meanwhile.
 */
export async function refuseAgain(tx: Control, run: Run): Promise<void> {
  const before = run.hasPredicate ? null : await findSucceeded(tx, run.job, run.paramsHash)
  if (!before) return
  throw new Problem(
    'conflict',
    `Job ${run.job} has no predicate, and run ${before} has done every row with these parameters. Another run would do each of them again. Send {"again": true} to start it anyway.`,
    { run: before, status: 'succeeded' },
  )
}

/**
 * Turns a unique violation (23505) into a Problem if a live run of the same job and parameters exists. Returns any
 * other error unchanged.
 */
export async function explainConflict(
  control: Control,
  run: Pick<Run, 'job' | 'paramsHash'>,
  error: unknown,
): Promise<unknown> {
  const live = isSqlState(error, 'unique_violation') ? await findLiveRun(control, run.job, run.paramsHash) : null
  return live ? alreadyLive(live) : error
}

/** The run that this Idempotency-Key started before. Throws a Problem if that was a different request. */
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

/**
 * Throws a Problem (`conflict`) if another run is live: a failed run must not come back beside the run that replaced
 * it.
 */
export async function refuseSecondLiveRun(tx: Control, run: Run): Promise<void> {
  const live = await findLiveRun(tx, run.job, run.paramsHash)
  if (live) throw alreadyLive(live)
}

function alreadyLive(live: Run): Problem {
  return new Problem(
    'conflict',
    `Job ${live.job} already has a live run with these parameters: ${live.id} is ${live.status}. Wait for it, or cancel it first.`,
    { run: live.id, status: live.status },
  )
}
