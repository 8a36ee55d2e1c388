import { Problem } from '../core/errors.ts'
import { isSqlState } from '../core/sqlstate.ts'
import type { Control } from './control.ts'
import type { Run } from './run.ts'
import { findLiveRun, findRunByIdempotencyKey, findSucceeded } from './runs.ts'

/**
 * A job without a predicate leaves nothing in its rows to tell by, so a second run does each of them once more. Throws a Problem
 * (`conflict`) where one with the same parameters has succeeded. The run is in the same transaction, and the index of live runs
 * keeps any other from succeeding meanwhile.
 */
export async function refuseAgain(tx: Control, run: Run): Promise<void> {
  const before = run.hasPredicate ? null : await findSucceeded(tx, run.job, run.paramsHash)
  if (!before) return
  throw new Problem(
    'conflict',
    `Job ${run.job} has no predicate, and run ${before} has done every row with these parameters: another run would do each of them once more. Send {"again": true} if that is meant.`,
    { run: before, status: 'succeeded' },
  )
}

/** What it means that a unique index was violated (23505) where there is a live run of the same; any other error is itself. */
export async function explainConflict(
  control: Control,
  run: Pick<Run, 'job' | 'paramsHash'>,
  error: unknown,
): Promise<unknown> {
  const live = isSqlState(error, 'unique_violation') ? await findLiveRun(control, run.job, run.paramsHash) : null
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

/** A failed run gives way to a new one; once there is one, it may not come back beside it. Throws a Problem (`conflict`). */
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
