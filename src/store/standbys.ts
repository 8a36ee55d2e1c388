import { liveStatuses } from '../core/run/status.ts'
import type { Control } from './control.ts'

/** Standbys that have been seen to stream, and how many by each name. */
export async function listStandbys({ db, s }: Control): Promise<Map<string, number>> {
  const { rows } = await db.query<{ name: string; count: number }>(
    `SELECT name, count FROM ${s}.standbys ORDER BY name`,
  )
  return new Map(rows.map(({ name, count }) => [name, count]))
}

/** Several processes look, and each may have seen another moment: the most that were ever seen counts. */
export async function rememberStandbys({ db, s }: Control, seen: ReadonlyMap<string, number>): Promise<void> {
  await db.query(
    `INSERT INTO ${s}.standbys AS known (name, count)
     SELECT name, count FROM unnest($1::text[], $2::int[]) AS seen (name, count) ORDER BY name
     ON CONFLICT (name) DO UPDATE SET count = excluded.count WHERE excluded.count > known.count`,
    columnsOf(seen),
  )
}

/**
 * Runs that rely on the standbys that were seen: those that are live, paused ones too, and those that failed and were not run
 * again, for they may be retried. Oldest first.
 */
export async function listRelyingRuns({ db, s }: Control): Promise<string[]> {
  const { rows } = await db.query<{ id: string }>(
    `SELECT f.id FROM ${s}.runs f
     WHERE f.status = ANY($1) OR f.status = 'failed' AND NOT EXISTS (SELECT FROM ${s}.runs again
       WHERE again.job = f.job AND again.params_hash = f.params_hash AND again.created_at > f.created_at)
     ORDER BY f.created_at, f.id`,
    [liveStatuses],
  )
  return rows.map(({ id }) => id)
}

/**
 * A run is accepted while these stream: they are missed when they go. What was seen before is forgotten only where no run
 * relies on it any more. To be called in the transaction that accepts the run, before it is inserted.
 */
export async function expectStandbys(tx: Control, streaming: ReadonlyMap<string, number>): Promise<void> {
  // Two runs that are accepted at the same time: the second one finds the first.
  await tx.db.query(`LOCK TABLE ${tx.s}.standbys IN SHARE ROW EXCLUSIVE MODE`)
  if ((await listRelyingRuns(tx)).length === 0) await replaceStandbys(tx, streaming)
  else await rememberStandbys(tx, streaming)
}

/** These and no others: who counted before is forgotten. */
export async function replaceStandbys({ db, s }: Control, standbys: ReadonlyMap<string, number>): Promise<void> {
  await db.query(
    `WITH forgotten AS (DELETE FROM ${s}.standbys WHERE name <> ALL ($1::text[]))
     INSERT INTO ${s}.standbys (name, count)
     SELECT name, count FROM unnest($1::text[], $2::int[]) AS seen (name, count) ORDER BY name
     ON CONFLICT (name) DO UPDATE SET count = excluded.count`,
    columnsOf(standbys),
  )
}

function columnsOf(standbys: ReadonlyMap<string, number>): [string[], number[]] {
  return [[...standbys.keys()], [...standbys.values()]]
}
