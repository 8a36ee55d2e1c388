import type { Cursor } from '../core/key.ts'
import type { Control } from './control.ts'

/** The rows a run still has to come back to. `waitSeconds` is until the first of them is due, 0 if one is. */
export interface StragglerSummary {
  readonly count: number
  readonly oldest: Date | null
  readonly waitSeconds: number
  /** Up to three keys, to look them up with. */
  readonly sample: readonly string[][]
}

/** How many each of these runs has, up to a thousand: it is asked for with the run's row locked, and there may be millions. */
export async function countStragglersOf(
  { db, s }: Control,
  runIds: readonly string[],
): Promise<ReadonlyMap<string, number>> {
  const { rows } = await db.query<{ runId: string; count: number }>(
    `SELECT asked.id AS "runId", counted.count FROM unnest($1::text[]) AS asked (id), LATERAL (
       SELECT count(*)::int AS count FROM (SELECT FROM ${s}.stragglers WHERE run_id = asked.id LIMIT 1000) AS first) AS counted`,
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
       (SELECT coalesce(jsonb_agg(key), '[]') FROM (SELECT key FROM ${s}.stragglers WHERE run_id = $1 ORDER BY since, id LIMIT 3) AS first) AS sample
     FROM ${s}.stragglers WHERE run_id = $1`,
    [runId],
  )
  return rows[0] as StragglerSummary
}

/** The key of the straggler that is tried first of those that are due; null where none is. */
export async function firstDueStraggler({ db, s }: Control, runId: string): Promise<Cursor | null> {
  const { rows } = await db.query<{ key: Cursor }>(
    `SELECT key FROM ${s}.stragglers WHERE run_id = $1 AND retry_at <= clock_timestamp() ORDER BY retry_at, id LIMIT 1`,
    [runId],
  )
  return rows[0]?.key ?? null
}

/** An operator resumed or retried: nobody wants to sit out a wait that began before. */
export async function wakeStragglers({ db, s }: Control, runIds: readonly string[]): Promise<void> {
  await db.query(
    `UPDATE ${s}.stragglers SET retry_at = clock_timestamp() WHERE run_id = ANY($1) AND retry_at > clock_timestamp()`,
    [runIds],
  )
}
