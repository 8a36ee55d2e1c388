import { Problem } from '../core/errors.ts'
import {
  deleteExpiredRun,
  dropEvents,
  type ExpiredRun,
  listExpiredRuns,
  listRunsOverEventLimit,
  readClock,
} from '../store/retention.ts'
import { findRun } from '../store/runs.ts'
import type { Logger } from '../telemetry/logger.ts'
import { waitSeconds } from '../util/sleep.ts'
import type { Database } from './database.ts'
import { transactInAll } from './databases.ts'

/**
 * Keeps the control schemas small: once at the start, then every `everySeconds` until `stop` is aborted. Any number of
 * processes may do this at once: a deleted run is simply gone for the next.
 */
export async function runRetention(
  databases: readonly Database[],
  days: number,
  actor: string,
  stop: AbortSignal,
  everySeconds: number,
): Promise<void> {
  while (!stop.aborted) {
    const expired = await listExpired(databases, days)
    for (const db of databases) {
      await attempt(db.log, () => deleteRuns(db, expired, days, stop))
      await attempt(db.log, () => thinEvents(db, actor, stop))
    }
    await waitSeconds(everySeconds, stop)
  }
}

/** How far the clocks of two machines may differ and both be accepted. Milliseconds. */
const clocksApartMs = 3_600_000

/** A database clock that has jumped forward makes every run look old. Throws if it is ahead of this machine's clock. */
export function refuseClockAhead(database: Date, own: Date): void {
  if (database.getTime() - own.getTime() <= clocksApartMs) return
  throw new Error(
    `the database's clock says ${database.toISOString()} and this machine's ${own.toISOString()}: nothing is deleted until they agree`,
  )
}

type ExpiredByDatabase = ReadonlyMap<Database, readonly ExpiredRun[]>

/** Lists expired runs of the databases that can be read. */
async function listExpired(databases: readonly Database[], days: number): Promise<ExpiredByDatabase> {
  const lists = new Map<Database, readonly ExpiredRun[]>()
  await Promise.all(
    databases.map((db) =>
      attempt(db.log, async () => {
        refuseClockAhead(await readClock(db.control), new Date())
        lists.set(db, await listExpiredRuns(db.control, days))
      }),
    ),
  )
  return lists
}

async function deleteRuns(db: Database, expired: ExpiredByDatabase, days: number, stop: AbortSignal): Promise<void> {
  let deleted = 0
  for (const run of expired.get(db) ?? []) {
    if (stop.aborted) break
    if (await deleteWhole(run.id, await placesOf(db, run, expired), days)) deleted += 1
  }
  if (deleted > 0) db.log.info({ runs: deleted, days }, 'runs deleted: they ended longer ago than RETENTION_DAYS')
}

/**
 * The databases from which a run is deleted: all that it spans. A single remaining shard would look like a run that was
 * never written completely. The run therefore stays if this process does not see all its shards, or if one is still
 * needed.
 */
async function placesOf(
  db: Database,
  { id, databases }: ExpiredRun,
  expired: ExpiredByDatabase,
): Promise<readonly Database[]> {
  if (databases === null || databases.length === 1) return [db]
  const places: Database[] = []
  for (const name of databases) {
    const [place, runs] = [...expired].find(([known]) => known.name === name) ?? []
    if (!place || !runs) return []
    const isPart = (run: { databases: readonly string[] | null }) => String(run.databases) === String(databases)
    if (runs.some((run) => run.id === id && isPart(run))) places.push(place)
    else {
      // This database has no shard: it was never written, or the databases differed at the commit. Another run with the
      // same id is not a shard of this one.
      const part = await findRun(place.control, id)
      if (part && isPart(part)) return []
    }
  }
  return places
}

/** False if the run stays: another process was faster, or an operator has retried the run. */
async function deleteWhole(id: string, places: readonly Database[], days: number): Promise<boolean> {
  try {
    await transactInAll(
      places.map((db) => ({ db })),
      (_, tx) => deleteExpiredRun(tx, id, days),
    )
    return places.length > 0
  } catch (error) {
    if (error instanceof Problem && error.kind === 'conflict') return false
    throw error
  }
}

async function thinEvents(db: Database, actor: string, stop: AbortSignal): Promise<void> {
  for (const run of await listRunsOverEventLimit(db.control)) {
    if (stop.aborted) break
    const dropped = await dropEvents(db.control, run, actor)
    if (dropped > 0) db.log.info({ run, dropped }, 'events dropped: the run had more than are kept')
  }
}

async function attempt(log: Logger, work: () => Promise<void>): Promise<void> {
  try {
    await work()
  } catch (error) {
    log.warn({ err: error }, 'old runs and events could not be deleted; the next attempt is in an hour')
  }
}
