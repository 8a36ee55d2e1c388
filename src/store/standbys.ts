import { z } from 'zod'
import { liveStatuses } from '../core/run/status.ts'
import { command, statement } from '../postgres/statement.ts'
import type { Control } from './control.ts'

const listStandbysSql = statement(
  'listStandbys',
  { name: z.string(), count: z.number() },
  (s) => `SELECT name, count FROM ${s}.standbys ORDER BY name`,
)

/** Standbys that have been seen streaming, and how many by each name. */
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

/** Keeps the highest count seen for each name. Processes may have counted at different moments. */
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
 * Runs that rely on the known standbys, oldest first: live ones, including paused ones, and failed ones that were not
 * run again, because they may be retried.
 */
export async function listRelyingRuns(control: Control): Promise<string[]> {
  return (await listRelyingRunsSql.rows(control, [liveStatuses])).map(({ id }) => id)
}

const lockStandbysSql = command('lockStandbys', (s) => `LOCK TABLE ${s}.standbys IN SHARE ROW EXCLUSIVE MODE`)

/**
 * Registers the standbys that stream when a run is accepted, so that they are missed when they go. Forgets earlier
 * standbys only if no run relies on them any more. Call it in the transaction that accepts the run, before the run is
 * inserted.
 */
export async function expectStandbys(tx: Control, streaming: ReadonlyMap<string, number>): Promise<void> {
  // The lock makes the second of two simultaneous starts see the first.
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

/** Replaces the known standbys with these. */
export async function replaceStandbys(control: Control, standbys: ReadonlyMap<string, number>): Promise<void> {
  await replaceStandbysSql.run(control, columnsOf(standbys))
}

function columnsOf(standbys: ReadonlyMap<string, number>): [string[], number[]] {
  return [[...standbys.keys()], [...standbys.values()]]
}
