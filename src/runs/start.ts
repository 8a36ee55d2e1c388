import { messageOf, Problem } from '../core/errors.ts'
import { hashParams } from '../core/job/job.ts'
import { rangesOfPhases } from '../core/range/range.ts'
import type { Pause } from '../core/run/pause.ts'
import { transitions } from '../core/run/status.ts'
import { isSqlState } from '../core/sqlstate.ts'
import type { Control } from '../store/control.ts'
import { listPauses } from '../store/pauses.ts'
import type { Run } from '../store/run.ts'
import type { NewRun } from '../store/run-changes.ts'
import { drawRunNumber, lockRun, readCreatedAt } from '../store/runs.ts'
import { explainConflict, findRepeated, refuseAgain } from '../store/second-run.ts'
import { expectStandbys } from '../store/standbys.ts'
import { createRun, noSuchRun, pauseNewRun } from '../store/transitions.ts'
import { stopShards } from './control.ts'
import type { Database, ReplicaCheck } from './database.ts'
import { chooseDatabases, PartialCommitError, queryAll, transactInAll, validateAll } from './databases.ts'
import { dispatch, forecast, type Prepared, prepareRun, refuseUnwatched, type StartRequest } from './prepare.ts'
import { findShardedRun, gather, type Shard, type ShardedRun } from './shards.ts'

/** The caller, and the values that tell a repeated call from a new one. */
interface Identity {
  readonly requestHash: string
  readonly idempotencyKey: string | null
  readonly createdBy: string
}

/** A database without its shard of the run, and the shard to write. */
interface Place {
  readonly db: Database
  readonly result: Prepared & { readonly standbys: ReplicaCheck['standbys'] }
}

/** The current state of existing shards of a run that is being completed. */
type Standing = ReadonlyArray<{ readonly run: Run; readonly pauses: readonly Pause[] }>

/**
 * Accepts a run in all of its databases or in none. If the same Idempotency-Key has started a run before, returns that
 * run, and completes it if its start was interrupted.
 */
export async function startRun(
  databases: readonly Database[],
  request: StartRequest,
  idempotencyKey: string | null,
  actor: string,
): Promise<{ run: ShardedRun; created: boolean }> {
  const origin = { requestHash: hashParams(request), idempotencyKey, createdBy: actor }
  const chosen = chooseDatabases(databases, request.databases)
  const repeated = await findRepeatedParts(databases, chosen, origin)
  const [known] = repeated
  const spanned = known ? spannedBy(databases, known) : chosen
  const lacking = spanned.filter((db) => !repeated.some((part) => part.db === db))
  const asItIs = async (part: Shard) => ({
    run: await findShardedRun(databases, part.run.id, part.db.name),
    created: false,
  })
  if (known && (lacking.length === 0 || isGivenUp(repeated))) return asItIs(known)

  const places: readonly Place[] = await validateAll(
    lacking.map((db) => ({ db })),
    `Job ${request.job} cannot start`,
    async ({ db }) => {
      const prepared = await prepareRun(db, request, origin)
      return { ...prepared, standbys: await refuseUnwatched(db, prepared.run) }
    },
  )
  const identity = known ? await identityOf(known) : await allocateIdentity(databases, spanned, request.job)
  try {
    if (!(await writeParts(places, repeated, identity, request.again ?? false)) && known) return asItIs(known)
  } catch (error) {
    // The run to complete is already working. Repeating the call writes the missing shards.
    if (error instanceof PartialCommitError) throw known ? error : await undo(databases, identity.id, actor, error)
    if (!isSqlState(error, 'unique_violation')) throw error
    // Another call with the same key came first. It committed last in the database where this call had to wait for it.
    const now = await findRepeatedParts(databases, chosen, origin)
    if (now.length > repeated.length) return startRun(databases, request, idempotencyKey, actor)
    await refuseSecondLiveRun(places, request.job, error)
    throw error
  }
  await queryAll(lacking, (db) => dispatch(db, identity.id, actor))
  for (const { db, result } of places) {
    db.log.info({ run: identity.id, actor, ranges: result.ranges.length, ...forecast(result) }, 'run accepted')
  }
  return { run: await findShardedRun(databases, identity.id, spanned[0]?.name), created: !known }
}

/**
 * Writes the missing shards of a run, all or none. The existing shards may have been stopped while the new ones were
 * prepared, so they are locked and read again. If one was cancelled, writes nothing and returns false. If all are
 * paused, pauses the new ones for the same reasons.
 */
async function writeParts(
  places: readonly Place[],
  known: readonly Shard[],
  identity: RunIdentity,
  again: boolean,
): Promise<boolean> {
  const standing: Array<Standing[number]> = []
  let written = true
  await transactInAll<Place | Shard, void>(
    [...known, ...places],
    async (place, tx) => {
      if (!('result' in place)) return
      written = !isGivenUp(standing)
      if (!written) return
      const { job, run, ranges, standbys } = place.result
      const phased = rangesOfPhases(job.phases, ranges, {
        hasPredicate: run.hasPredicate,
        byLocale: run.target.byLocale,
      })
      if (standbys) await expectStandbys(tx, standbys)
      const created = await createRun(tx, { ...run, ...identity }, phased, forecast(place.result))
      if (!again) await refuseAgain(tx, created)
      await pauseLike(tx, created, standing)
    },
    async (place, tx) => {
      if ('result' in place) return
      const run = await lockRun(tx, identity.id)
      if (run) standing.push({ run, pauses: (await listPauses(tx, [run.id])).get(run.id) ?? [] })
    },
  )
  return written
}

function isGivenUp(parts: ReadonlyArray<{ readonly run: Run }>): boolean {
  return parts.some(({ run: { status } }) => status === 'cancelling' || status === 'cancelled')
}

async function pauseLike(tx: Control, run: Run, standing: Standing): Promise<void> {
  const [first] = standing
  if (!first || !standing.every(({ run: { status } }) => status === 'paused' || status === 'pausing')) return
  await pauseNewRun(tx, run, first.pauses)
}

/** The shards of the run that the same key started before. Throws a Problem if that was a different request. */
async function findRepeatedParts(
  databases: readonly Database[],
  chosen: readonly Database[],
  { idempotencyKey, requestHash }: Identity,
): Promise<Shard[]> {
  if (idempotencyKey === null) return []
  const { answers, away } = await queryAll(databases, ({ control }) =>
    findRepeated(control, idempotencyKey, requestHash),
  )
  const unread = away.filter(({ database }) => chosen.some(({ name }) => name === database))
  if (unread.length > 0) {
    throw new Problem(
      'unavailable',
      `Cannot determine whether this run already exists. ${unread.map(({ reason }) => reason).join(' ')} Nothing was changed; try again.`,
    )
  }
  const parts = answers.flatMap(({ db, answer }) => (answer ? [{ db, run: answer }] : []))
  if (gather(databases, parts, away).length > 1) {
    const places = parts.map(({ db, run }) => `${run.id} in ${db.name}`)
    throw new Problem(
      'invalid',
      `Idempotency-Key ${JSON.stringify(idempotencyKey)} was used for different runs: ${places.join(' and ')}. Use a new key.`,
    )
  }
  return parts
}

function spannedBy(databases: readonly Database[], { db, run }: Shard): readonly Database[] {
  return databases.filter((other) => other === db || run.databases?.includes(String(other.name)))
}

/** The values that all shards of a run share. */
type RunIdentity = Pick<NewRun, 'id' | 'createdAt' | 'databases'>

async function identityOf({ db, run }: Shard): Promise<RunIdentity> {
  const createdAt = await readCreatedAt(db.control, run.id)
  if (createdAt === null) throw noSuchRun(run.id)
  return { id: run.id, createdAt, databases: run.databases }
}

/**
 * An id that no run has in any database. Each reachable database draws a number at least as high as the one before, so
 * the last number is new to all. All processes ask in name order, so the last database is the same for all.
 */
async function allocateIdentity(
  databases: readonly Database[],
  spanned: readonly Database[],
  job: string,
): Promise<RunIdentity> {
  const byName = [...databases].sort((a, b) => (String(a.name) < String(b.name) ? -1 : 1))
  const draws = new Map<Database, number>()
  let last = { number: 0, at: '' }
  const draw = async (db: Database, atLeast: number) => {
    try {
      const { answers } = await queryAll([db], ({ control }) => drawRunNumber(control, atLeast))
      return answers[0]?.answer ?? null
    } catch (error) {
      // A database that the run does not span need not answer.
      if (spanned.includes(db)) throw error
      return null
    }
  }
  for (const db of byName) {
    const drawn = await draw(db, last.number)
    if (!drawn) continue
    draws.set(db, drawn.number)
    last = drawn
  }
  // Raises the counters of the other databases above the number, for when they are reached alone.
  const behind = [...draws].filter(([, number]) => number < last.number)
  await Promise.all(behind.map(([db]) => draw(db, last.number)))
  const names = spanned.flatMap(({ name }) => name ?? [])
  return { id: `${job}-${last.number}`, createdAt: last.at, databases: names.length === 0 ? null : names }
}

async function refuseSecondLiveRun(places: readonly Place[], job: string, error: unknown): Promise<void> {
  await validateAll(places, `Job ${job} cannot start`, async ({ db, result }) => {
    const explained = await explainConflict(db.control, result.run, error)
    if (explained !== error) throw explained
  })
}

/**
 * Cancels a run that could not be committed in all of its databases, wherever it was. Returns a Problem that says so.
 */
async function undo(
  databases: readonly Database[],
  id: string,
  actor: string,
  failure: PartialCommitError,
): Promise<Problem> {
  const committed = failure.done[0]?.db.name
  const why = messageOf(failure.cause)
  const run = await findShardedRun(databases, id, committed)
  const open = run.shards.filter((part) => transitions[part.run.status].cancel !== null)
  if (open.length > 0) await stopShards(run, open, 'cancel', { actor, reason: `Its start failed: ${why}.` })
  const { shards, unseen } = await findShardedRun(databases, id, committed)
  const standing = [
    ...shards.map((part) => `${part.db.name}: ${part.run.status}.`),
    ...unseen
      .filter(({ state }) => state === 'unreachable')
      .map(({ reason }) => `${reason} Whether the run exists there is unknown.`),
  ]
  return new Problem(
    'unavailable',
    `Cannot accept run ${id} in all of its databases (${why}). evenkeel has cancelled it where it had been accepted. ${standing.join(' ')} Start a new run with a new Idempotency-Key.`,
    { run: id },
    { cause: failure.cause },
  )
}
