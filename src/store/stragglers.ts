import type { Cursor } from '../core/range/key.ts'
import type { Control } from './control.ts'

/** The rows a run still has to come back to. */
export interface StragglerSummary {
  readonly count: number
  readonly oldest: Date | null
  /** Until the first of them is due, 0 if one is. */
  readonly waitSeconds: number
  /** Since the last of them was written down. */
  readonly ageSeconds: number
  /** Up to three keys, to look them up with. */
  readonly sample: readonly string[][]
}

/**
 * How many rows each of these runs has, up to a thousand: it is asked for with the run's row locked, and there may be millions. One
 * that both checks have found is there twice, and counts once.
 */
export async function countStragglersOf(
  { db, s }: Control,
  runIds: readonly string[],
): Promise<ReadonlyMap<string, number>> {
  const { rows } = await db.query<{ runId: string; count: number }>(
    `SELECT asked.id AS "runId", counted.count FROM unnest($1::text[]) AS asked (id), LATERAL (
       SELECT count(DISTINCT key)::int AS count FROM (SELECT key FROM ${s}.stragglers WHERE run_id = asked.id LIMIT 1000) AS first) AS counted`,
    [runIds],
  )
  return new Map(rows.map(({ runId, count }) => [runId, count]))
}

export async function countStragglers(control: Control, runId: string): Promise<number> {
  return (await countStragglersOf(control, [runId])).get(runId) ?? 0
}

export async function summariseStragglers({ db, s }: Control, runId: string): Promise<StragglerSummary> {
  const { rows } = await db.query<StragglerSummary>(
    `SELECT count(*)::int AS count, min(since) AS oldest,
       greatest(0, extract(epoch FROM min(retry_at) - clock_timestamp()))::float8 AS "waitSeconds",
       greatest(0, extract(epoch FROM clock_timestamp() - max(since)))::float8 AS "ageSeconds",
       (SELECT coalesce(jsonb_agg(key), '[]') FROM (SELECT key FROM ${s}.stragglers WHERE run_id = $1 ORDER BY since, id LIMIT 3) AS first) AS sample
     FROM ${s}.stragglers WHERE run_id = $1`,
    [runId],
  )
  return rows[0] as StragglerSummary
}

/** A straggler as it is tried alone. */
export interface Straggler {
  readonly key: Cursor
  /** How often it has failed alone. */
  readonly failures: number
}

/** The straggler that a sweep comes to next behind this cursor; null where none is due. */
export async function nextStraggler(
  { db, s }: Control,
  runId: string,
  cursor: Cursor | null,
): Promise<Straggler | null> {
  const { rows } = await db.query<Straggler>(
    `SELECT key, failures FROM ${s}.stragglers
     WHERE run_id = $1 AND id > coalesce($2::bigint, 0) AND retry_at <= clock_timestamp() ORDER BY id LIMIT 1`,
    [runId, cursor?.[0] ?? null],
  )
  return rows[0] ?? null
}

/** Whether a run still has to come back to the row with this key. */
export async function isStraggler({ db, s }: Control, runId: string, key: Cursor): Promise<boolean> {
  const { rows } = await db.query<{ found: boolean }>(
    `SELECT EXISTS (SELECT FROM ${s}.stragglers WHERE run_id = $1 AND key = $2::text[]) AS found`,
    [runId, key],
  )
  return rows[0]?.found ?? false
}

/** An operator resumed or retried: nobody wants to sit out a wait that began before. */
export async function wakeStragglers({ db, s }: Control, runIds: readonly string[]): Promise<void> {
  await db.query(
    `UPDATE ${s}.stragglers SET retry_at = clock_timestamp() WHERE run_id = ANY($1) AND retry_at > clock_timestamp()`,
    [runIds],
  )
}
