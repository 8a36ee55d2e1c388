import { z } from 'zod'
import { liveStatuses } from '../core/run/status.ts'
import { command, statement } from '../postgres/statement.ts'
import type { Control } from './control.ts'

const listStandbysSql = statement(
  'listStandbys',
  { name: z.string(), count: z.number() },
  (s) => `SELECT name, count FROM ${s}.standbys ORDER BY name`,
)

/** Standbys that have been seen to stream, and how many by each name. */
export async function listStandbys(control: Control): Promise<Map<string, number>> {
  const standbys = await listStandbysSql.rows(control)
  return new Map(standbys.map(({ name, count }) => [name, count]))
}

const rememberStandbysSql = command(
  'rememberStandbys',
  (s) => `INSERT INTO ${s}.standbys AS known (name, count)
     SELECT name, count FROM unnest($1::text[], $2::int[]) AS seen (name, count) ORDER BY name
     ON CONFLICT (name) DO UPDATE SET count = excluded.count WHERE excluded.count > known.count`,
)

/** Several processes look, and each may have seen another moment: the most that were ever seen counts. */
export async function rememberStandbys(control: Control, seen: ReadonlyMap<string, number>): Promise<void> {
  await rememberStandbysSql.run(control, columnsOf(seen))
}

const listRelyingRunsSql = statement(
  'listRelyingRuns',
  { id: z.string() },
  (s) => `SELECT f.id FROM ${s}.runs f
     WHERE f.status = ANY($1) OR f.status = 'failed' AND NOT EXISTS (SELECT FROM ${s}.runs again
       WHERE again.job = f.job AND again.params_hash = f.params_hash AND again.created_at > f.created_at)
     ORDER BY f.created_at, f.id`,
)

/**
 * Runs that rely on the standbys that were seen: those that are live, paused ones too, and those that failed and were not run
 * again, for they may be retried. Oldest first.
 */
export async function listRelyingRuns(control: Control): Promise<string[]> {
  return (await listRelyingRunsSql.rows(control, [liveStatuses])).map(({ id }) => id)
}

const lockStandbysSql = command('lockStandbys', (s) => `LOCK TABLE ${s}.standbys IN SHARE ROW EXCLUSIVE MODE`)

/**
 * A run is accepted while these stream: they are missed when they go. What was seen before is forgotten only where no run
 * relies on it any more. To be called in the transaction that accepts the run, before it is inserted.
 */
export async function expectStandbys(tx: Control, streaming: ReadonlyMap<string, number>): Promise<void> {
  // Two runs that are accepted at the same time: the second one finds the first.
  await lockStandbysSql.run(tx)
  if ((await listRelyingRuns(tx)).length === 0) await replaceStandbys(tx, streaming)
  else await rememberStandbys(tx, streaming)
}

const replaceStandbysSql = command(
  'replaceStandbys',
  (s) => `WITH forgotten AS (DELETE FROM ${s}.standbys WHERE name <> ALL ($1::text[]))
     INSERT INTO ${s}.standbys (name, count)
     SELECT name, count FROM unnest($1::text[], $2::int[]) AS seen (name, count) ORDER BY name
     ON CONFLICT (name) DO UPDATE SET count = excluded.count`,
)

/** These and no others: who counted before is forgotten. */
export async function replaceStandbys(control: Control, standbys: ReadonlyMap<string, number>): Promise<void> {
  await replaceStandbysSql.run(control, columnsOf(standbys))
}

function columnsOf(standbys: ReadonlyMap<string, number>): [string[], number[]] {
  return [[...standbys.keys()], [...standbys.values()]]
}
