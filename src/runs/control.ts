import { Problem } from '../core/errors.ts'
import { isOver, transitions } from '../core/run/status.ts'
import type { Control } from '../store/control.ts'
import type { Cause } from '../store/events.ts'
import { explainConflict } from '../store/second-run.ts'
import { restartRun, retryQuarantined, settleRun, stopRun } from '../store/transitions.ts'
import { databasesOf, queryAll, transactInAll, unreachableReason, validateAll } from './databases.ts'
import { currentFingerprint, dispatch } from './prepare.ts'
import { legalShards, type Shard, type ShardedRun } from './shards.ts'

/** A pause or a cancellation answers within this time. A run that has not drained by then drains by itself. Seconds. */
const answerWithinSeconds = 4.5
/** The part of that time spent waiting for a locked row of the control schema. Seconds. */
export const lockWithinSeconds = 2

/**
 * Pauses or cancels each shard for which that is legal. Returns once none of them has a batch in flight, or after a few
 * seconds while some still drain. An unreachable shard does not keep the others from stopping. Throws, after all
 * reachable shards were told, a Problem that names the rest.
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
  // A shard that has ended by itself meanwhile, or was stopped before, needs no command.
  const untold = failed.filter(({ error }) => !(error instanceof Problem && error.kind === 'conflict'))
  if (failed.length === legal.length) {
    if (untold.length === 0 && legal.length > 1) legalShards(run, parts, event)
    throw untold[0]?.error ?? first.error
  }
  for (const { db, error } of untold) db.log.error({ err: error, run: run.id }, `could not ${event} the run`)
  if (untold.length === 0) return
  throw new Problem(
    'unavailable',
    `The ${event} did not reach all databases of run ${run.id}. ${untold.map(({ db, error }) => unreachableReason(db, error)).join(' ')} The run may continue there. The command took effect in all others. Try again.`,
    { databases: untold.map(({ db }) => db.name) },
  )
}

/** Starts a timer. The returned function gives the time left to answer, and always a minimum to try in. Seconds. */
export function stopwatch(): () => number {
  const began = performance.now()
  return () => Math.max(0.2, answerWithinSeconds - (performance.now() - began) / 1000)
}

/**
 * Shards that may take the command. A paused shard takes an operator's pause as one more reason, unless it already has
 * one.
 */
function stoppableParts(run: ShardedRun, parts: readonly Shard[], event: 'pause' | 'cancel'): readonly Shard[] {
  const canTake = ({ run: { status } }: Shard) => event === 'pause' && (status === 'paused' || status === 'pausing')
  const open = parts.filter((part) => transitions[part.run.status][event] !== null || canTake(part))
  return open.length > 0 ? open : legalShards(run, parts, event)
}

/** Resumes or retries each shard for which that is legal: all of them, or none if one refuses. */
export async function restartShards(
  run: ShardedRun,
  parts: readonly Shard[],
  event: 'resume' | 'retry',
  cause: Cause,
  acceptJobChange: boolean,
): Promise<void> {
  const legal = legalShards(run, parts, event)
  await asOne(`Cannot ${event} run ${run.id}`, legal, acceptJobChange, (fingerprint, tx) =>
    restartRun(tx, run.id, event, cause, fingerprint),
  )
  await queryAll(databasesOf(legal), (db) => dispatch(db, run.id, cause.actor))
}

/** Retries quarantined rows in each shard that is not over. Returns the number of rows. */
export async function retryQuarantinedShards(
  id: string,
  parts: readonly Shard[],
  ids: readonly string[] | null,
  cause: Cause,
  acceptJobChange: boolean,
): Promise<number> {
  const open = parts.filter(({ run }) => !isOver(run.status))
  // If all shards are over, each refuses with its own message.
  const asked = open.length > 0 ? open : parts
  const counts = await asOne(`Cannot retry rows of run ${id}`, asked, acceptJobChange, (fingerprint, tx) =>
    retryQuarantined(tx, id, ids, cause, fingerprint),
  )
  await queryAll(databasesOf(asked), (db) => dispatch(db, id, cause.actor))
  return counts.reduce((sum, count) => sum + count, 0)
}

/** Restarts shards, all or none. Each gets the current fingerprint of the job if the change is accepted, else null. */
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
    // Another client started a new run between our read and our write.
    if (!(error instanceof Problem)) {
      await validateAll(ready, refused, async (part) => {
        const explained = await explainConflict(part.db.control, part.run, error)
        if (explained !== error) throw explained
      })
    }
    throw error
  }
}
