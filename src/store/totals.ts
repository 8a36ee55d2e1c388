import type { Stillness } from '../core/stalled.ts'
import type { Throttle } from '../core/throttle.ts'
import type { Control } from './control.ts'

/** The sums that progress is made of. */
export interface RangeTotals extends Stillness {
  readonly rowsScanned: number
  readonly rowsDone: number
  readonly rowsGone: number
  readonly rowsPerSecond: number
  readonly overallRowsPerSecond: number
  readonly workedSeconds: number
  /** Of all workers together. */
  readonly throttledSeconds: number
  readonly residualScanned: number
  readonly stragglers: number
  readonly quarantined: number
  readonly discarded: number
  readonly throttle: Throttle | null
  /** By the database's clock. */
  readonly readAt: Date
}

/** The sums of several runs, by run. */
export async function sumRanges({ db, s }: Control, runIds: readonly string[]): Promise<Map<string, RangeTotals>> {
  const { rows } = await db.query<RangeTotals & { runId: string }>(
    `SELECT *, extract(epoch FROM clock_timestamp() - "stillSince")::float8 AS "stillSeconds", clock_timestamp() AS "readAt" FROM (SELECT run_id AS "runId",
       coalesce(sum(rows_scanned) FILTER (WHERE kind = 'keys'), 0)::float8 AS "rowsScanned",
       coalesce(sum(rows_done) FILTER (WHERE kind <> 'residual'), 0)::float8 AS "rowsDone",
       sum(rows_gone)::float8 AS "rowsGone",
       -- What no worker holds does not move; what has not moved for a second and more fades.
       coalesce(sum(recent_rows * 1000 / nullif(greatest(0, recent_ms - recent_throttled_ms) + still_ms, 0))
         FILTER (WHERE kind <> 'residual' AND lease_until > clock_timestamp()), 0)::float8 AS "rowsPerSecond",
       -- One batch in a few milliseconds is not yet a hundred thousand rows a second.
       coalesce(sum(recent_rows * 1000 / greatest(recent_ms + still_ms, 1000))
         FILTER (WHERE kind <> 'residual' AND lease_until > clock_timestamp()), 0)::float8 AS "overallRowsPerSecond",
       max(worked_ms)::float8 / 1000 AS "workedSeconds",
       sum(throttled_ms)::float8 / 1000 AS "throttledSeconds",
       coalesce(sum(rows_scanned) FILTER (WHERE kind = 'residual'), 0)::float8 AS "residualScanned",
       max(checkpointed_at) AS "lastCheckpointAt",
       -- That a range was taken from a worker is no sign of life: it may happen again and again.
       greatest(max(checkpointed_at), max(wake_at) FILTER (WHERE NOT done),
         (SELECT (n.hold->>'seenAt')::timestamptz FROM ${s}.runs n WHERE n.id = r.run_id),
         (SELECT max(e.at) FROM ${s}.events e WHERE e.run_id = r.run_id AND e.kind <> 'rescued')
       ) AS "stillSince",
       (array_agg(throttle ORDER BY throttle->>'since') FILTER (WHERE throttle IS NOT NULL))[1] AS throttle,
       (SELECT count(*)::int FROM ${s}.stragglers x WHERE x.run_id = r.run_id) AS stragglers,
       (SELECT count(*)::int FROM ${s}.quarantine q WHERE q.run_id = r.run_id AND q.discarded_at IS NULL) AS quarantined,
       (SELECT count(*)::int FROM ${s}.quarantine q WHERE q.run_id = r.run_id AND q.discarded_at IS NOT NULL) AS discarded
     FROM ${s}.ranges r,
       LATERAL (SELECT greatest(0, extract(epoch FROM clock_timestamp() - checkpointed_at) * 1000 - 1000) AS still_ms) AS since
     WHERE run_id = ANY($1) GROUP BY run_id) AS totals`,
    [runIds],
  )
  return new Map(rows.map(({ runId, ...totals }) => [runId, totals]))
}
