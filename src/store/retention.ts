import { z } from 'zod'
import { Problem } from '../core/errors.ts'
import { liveStatuses } from '../core/run/status.ts'
import { command, statement } from '../postgres/statement.ts'
import type { Control } from './control.ts'
import { insertEvent } from './events.ts'
import { lockRunBriefly } from './runs.ts'

/** Events kept of one run: its first ones and its newest ones. */
const firstEvents = 1000
const newestEvents = 9000
/** Events allowed above these limits, so that each cleanup drops many at once and a single new event triggers none. */
const spareEvents = 1000

/**
 * SQL: whether a run may be deleted. It has ended long enough ago and is no longer needed. The last run of a job
 * with the same parameters stays, because `require_succeeded` decides by it. The last one that succeeded stays too,
 * because it tells when the rows were done.
 */
function expiredSql(s: string, days: string): string {
  const later = `SELECT FROM ${s}.runs later WHERE later.job = n.job AND later.params_hash = n.params_hash AND (later.number, later.id) > (n.number, n.id)`
  return `n.ended_at < clock_timestamp() - make_interval(days => ${days}::int) AND n.status <> ALL('{${liveStatuses.join(',')}}')
    AND EXISTS (${later}) AND (n.status <> 'succeeded' OR EXISTS (${later} AND later.status = 'succeeded'))`
}

const readClockSql = statement('readClock', { now: z.date() }, () => 'SELECT pg_catalog.clock_timestamp() AS now')

/** The time on the database's clock. */
export async function readClock(control: Control): Promise<Date> {
  return (await readClockSql.one(control)).now
}

/** A run that may be deleted in one database, with the named databases that it spans. */
export interface ExpiredRun {
  readonly id: string
  readonly databases: readonly string[] | null
}

const listExpiredRunsSql = statement(
  'listExpiredRuns',
  { id: z.string(), databases: z.array(z.string()).nullable() },
  (s) => `SELECT n.id, n.databases FROM ${s}.runs n WHERE ${expiredSql(s, '$1')} ORDER BY n.number, n.id`,
)

/** Runs that may be deleted, oldest first. */
export function listExpiredRuns(control: Control, days: number): Promise<ExpiredRun[]> {
  return listExpiredRunsSql.rows(control, [days])
}

const deleteExpiredRunSql = command(
  'deleteExpiredRun',
  (s) => `DELETE FROM ${s}.runs n WHERE n.id = $1 AND ${expiredSql(s, '$2')}`,
)

/**
 * Deletes a run with its ranges, stragglers and events. Throws a Problem (`conflict`) if it is gone already or was
 * retried meanwhile.
 */
export async function deleteExpiredRun(control: Control, id: string, days: number): Promise<void> {
  const deleted = await deleteExpiredRunSql.run(control, [id, days])
  if (deleted !== 1) throw new Problem('conflict', `Cannot delete run ${id}: it was deleted or retried meanwhile.`)
}

const listRunsOverEventLimitSql = statement(
  'listRunsOverEventLimit',
  { id: z.string() },
  (s) => `SELECT run_id AS id FROM ${s}.events GROUP BY run_id HAVING count(*) > $1`,
)

/** Runs with more events than are kept. */
export async function listRunsOverEventLimit(control: Control): Promise<string[]> {
  const runs = await listRunsOverEventLimitSql.rows(control, [firstEvents + newestEvents + spareEvents])
  return runs.map(({ id }) => id)
}

const dropEventsSql = statement(
  'dropEvents',
  { dropped: z.number(), count: z.number(), from: z.date().nullable(), to: z.date().nullable() },
  (s) => `WITH numbered AS (
       SELECT id, row_number() OVER (ORDER BY id) AS n, count(*) OVER () AS total FROM ${s}.events WHERE run_id = $1
     ), dropped AS (
       DELETE FROM ${s}.events e USING numbered m
       WHERE e.id = m.id AND m.n > $2 AND m.n <= m.total - $3 AND m.total > $2 + $3 + $4
       RETURNING e.at, CASE e.kind WHEN 'events-dropped' THEN (e.detail->>'count')::int ELSE 1 END AS count
     )
     SELECT count(*)::int AS dropped, coalesce(sum(count), 0)::int AS count, min(at) AS from, max(at) AS to FROM dropped`,
)

/**
 * Drops the events of a run between its first and its newest ones. Records in an event how many were dropped in all and
 * their period. Returns how many were dropped now; 0 if another process has done it.
 */
export async function dropEvents(control: Control, runId: string, actor: string): Promise<number> {
  return control.transaction(async (tx) => {
    // The run's row is locked, so that two processes do not drop twice as many.
    await lockRunBriefly(tx, runId)
    const { dropped, count, from, to } = await dropEventsSql.one(tx, [runId, firstEvents, newestEvents, spareEvents])
    const detail = { count, from: from?.toISOString() ?? null, to: to?.toISOString() ?? null }
    if (dropped > 0) await insertEvent(tx, { runId, actor, kind: 'events-dropped', detail })
    return dropped
  })
}
