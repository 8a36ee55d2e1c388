import { Problem } from '../core/errors.ts'
import { isOver, transitions } from '../core/run/status.ts'
import type { Control } from '../store/control.ts'
import type { Cause } from '../store/events.ts'
import { explainConflict } from '../store/second-run.ts'
import { restartRun, retryQuarantined, settleRun, stopRun } from '../store/transitions.ts'
import { databasesOf, queryAll, transactInAll, unreachableReason, validateAll } from './databases.ts'
import { currentFingerprint, dispatch } from './prepare.ts'
import { legalShards, type Shard, type ShardedRun } from './shards.ts'

/** A pause and a cancellation answer after so long at most; what has not settled by then does so by itself. */
const answerWithinSeconds = 4.5
/** The part of it in which a locked row of the control schema is waited for. */
export const lockWithinSeconds = 2

/**
 * Pauses or cancels each part for which that is legal; returns once nothing of them is in flight, or after some seconds
 * with some still on their way there. It is an operator's brake: a part that cannot be told keeps no other from being told.
 * Throws, after all that could be told have been, a Problem that names those that could not.
 */
export async function stopShards(
  run: ShardedRun,
  parts: readonly Shard[],
  event: 'pause' | 'cancel',
  cause: Cause,
): Promise<void> {
  const legal = stoppableParts(run, parts, event)
  const leftOf = stopwatch()
  const told = await Promise.allSettled(
    legal.map(async ({ db }) => {
      await stopRun(db.control, run.id, event, cause, lockWithinSeconds)
      await settleRun(db.control, run.id, leftOf(), cause.actor)
    }),
  )
  const failed = told.flatMap((outcome, index) =>
    outcome.status === 'rejected' ? [{ db: (legal[index] as Shard).db, error: outcome.reason }] : [],
  )
  const [first] = failed
  if (!first) return
  // A part that has come to its end by itself in the meantime needs no telling, nor one that has been told before.
  const untold = failed.filter(({ error }) => !(error instanceof Problem && error.kind === 'conflict'))
  if (failed.length === legal.length) {
    if (untold.length === 0 && legal.length > 1) legalShards(run, parts, event)
    throw untold[0]?.error ?? first.error
  }
  for (const { db, error } of untold) db.log.error({ err: error, run: run.id }, `run could not be told to ${event}`)
  if (untold.length === 0) return
  throw new Problem(
    'unavailable',
    `Run ${run.id} was told to ${event} wherever that was possible. ${untold.map(({ db, error }) => unreachableReason(db, error)).join(' ')} It may go on there: try again.`,
    { databases: untold.map(({ db }) => db.name) },
  )
}

/** Starts to count; gives what is left of the time to answer in, and always a moment to try. Seconds. */
export function stopwatch(): () => number {
  const began = performance.now()
  return () => Math.max(0.2, answerWithinSeconds - (performance.now() - began) / 1000)
}

/** Parts that may be told: one that is paused already takes an operator's pause as one more reason, if it has none yet. */
function stoppableParts(run: ShardedRun, parts: readonly Shard[], event: 'pause' | 'cancel'): readonly Shard[] {
  const canTake = ({ run: { status } }: Shard) => event === 'pause' && (status === 'paused' || status === 'pausing')
  const open = parts.filter((part) => transitions[part.run.status][event] !== null || canTake(part))
  return open.length > 0 ? open : legalShards(run, parts, event)
}

/** Resumes or retries each part for which that is legal: all of these, or none where one of them refuses. */
export async function restartShards(
  run: ShardedRun,
  parts: readonly Shard[],
  event: 'resume' | 'retry',
  cause: Cause,
  acceptJobChange: boolean,
): Promise<void> {
  const legal = legalShards(run, parts, event)
  await asOne(`Run ${run.id} cannot be told to ${event}`, legal, acceptJobChange, (fingerprint, tx) =>
    restartRun(tx, run.id, event, cause, fingerprint),
  )
  await queryAll(databasesOf(legal), (db) => dispatch(db, run.id, cause.actor))
}

/** Has rows in quarantine tried once more in each part that still tries any; returns how many there were. */
export async function retryQuarantinedShards(
  id: string,
  parts: readonly Shard[],
  ids: readonly string[] | null,
  cause: Cause,
  acceptJobChange: boolean,
): Promise<number> {
  const open = parts.filter(({ run }) => !isOver(run.status))
  // Where nothing is tried any more in any of them, each says so.
  const asked = open.length > 0 ? open : parts
  const counts = await asOne(`Rows of run ${id} cannot be retried`, asked, acceptJobChange, (fingerprint, tx) =>
    retryQuarantined(tx, id, ids, cause, fingerprint),
  )
  await queryAll(databasesOf(asked), (db) => dispatch(db, id, cause.actor))
  return counts.reduce((sum, count) => sum + count, 0)
}

/** Sets parts to work again, all or none: each with the fingerprint of the job as it is now, where that is accepted, or null. */
async function asOne<R>(
  refused: string,
  parts: readonly Shard[],
  acceptJobChange: boolean,
  work: (fingerprint: string | null, tx: Control) => Promise<R>,
): Promise<R[]> {
  const ready = await validateAll(parts, refused, (part) => currentFingerprint(part.db, part.run, acceptJobChange))
  try {
    return await transactInAll(ready, ({ result: fingerprint }, tx) => work(acceptJobChange ? fingerprint : null, tx))
  } catch (error) {
    // Somebody started a new run between our look and our write.
    if (!(error instanceof Problem)) {
      await validateAll(ready, refused, async (part) => {
        const explained = await explainConflict(part.db.control, part.run, error)
        if (explained !== error) throw explained
      })
    }
    throw error
  }
}
