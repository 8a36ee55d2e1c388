import { rateWindowSeconds } from '../core/progress.ts'
import type { Stillness } from '../core/stalled.ts'
import type { Throttle } from '../core/throttle.ts'
import type { PaceCause } from '../core/wish.ts'
import type { Control } from './control.ts'
import { waitedMsSql } from './rates.ts'

/** The sums that progress is made of. */
export interface RangeTotals extends Stillness {
  readonly rowsScanned: number
  readonly rowsScannedAgain: number
  readonly rowsAgain: number
  readonly openSlices: number
  readonly rowsDone: number
  readonly rowsGone: number
  readonly rowsPassed: number
  readonly recentRows: number
  readonly rowsChecked: number
  readonly recentChecked: number
  readonly workedSeconds: number
  readonly sinceSeconds: number
  /** By waits for rows and for the load; the time that it was held is not among it. */
  readonly waitedSeconds: number
  readonly stragglers: number
  readonly quarantined: number
  readonly discarded: number
  /** What one of its ranges waits for after an error. */
  readonly trouble: Throttle | null
  readonly readOnly: boolean
  /** Since when workers wait for rows under its rate; null where none has for a second. */
  readonly rateSince: Date | null
  readonly untakenSince: Date | null
  readonly untakenSeconds: number
  readonly othersAtWork: number
  readonly paceCause: PaceCause | null
  readonly paceSince: Date | null
  /** By the database's clock. */
  readonly readAt: Date
}

const recentSql = `recent_rows * exp(-greatest(0, extract(epoch FROM clock_timestamp() - checkpointed_at))::float8 / ${rateWindowSeconds})`
/** A pace that no process has looked at for so long says nothing of now. Seconds. */
const paceGoodForSeconds = 5

/** The sums of several runs, by run. */
export async function sumRanges({ db, s }: Control, runIds: readonly string[]): Promise<Map<string, RangeTotals>> {
  const { rows } = await db.query<RangeTotals & { runId: string }>(
    `SELECT t.*, clock_timestamp() AS "readAt", extract(epoch FROM clock_timestamp() - "stillSince")::float8 AS "stillSeconds",
       extract(epoch FROM clock_timestamp() - "untakenSince")::float8 AS "untakenSeconds",
       (n.worked_ms / 1000 + coalesce(greatest(0, extract(epoch FROM clock_timestamp() - n.working_since)), 0))::float8 AS "workedSeconds",
       greatest(0, extract(epoch FROM clock_timestamp() - coalesce(n.working_since,
         (SELECT max(e.at) FROM ${s}.events e WHERE e.run_id = n.id AND e.kind = 'verify'))))::float8 AS "sinceSeconds",
       (t."loadMs" + coalesce(rate.waited, 0)) / 1000 AS "waitedSeconds", rate.since AS "rateSince",
       (SELECT count(DISTINCT o.run_id)::int FROM ${s}.ranges o WHERE o.lease_until > clock_timestamp() AND o.run_id <> n.id
         AND t."untakenSince" IS NOT NULL) AS "othersAtWork",
       pace.cause AS "paceCause", pace.since AS "paceSince",
       pg_catalog.current_setting('transaction_read_only') = 'on' AS "readOnly"
     FROM (SELECT run_id AS "runId",
         coalesce(sum(rows_scanned) FILTER (WHERE kind = 'keys'), 0)::float8 AS "rowsScanned",
         coalesce(sum(rows_scanned) FILTER (WHERE rows_again IS NOT NULL), 0)::float8 AS "rowsScannedAgain",
         coalesce(sum(rows_again), 0)::float8 AS "rowsAgain",
         count(*) FILTER (WHERE kind = 'keys' AND NOT done)::int AS "openSlices",
         coalesce(sum(rows_done) FILTER (WHERE kind <> 'residual'), 0)::float8 AS "rowsDone",
         sum(rows_gone)::float8 AS "rowsGone",
         coalesce(sum(CASE kind WHEN 'keys' THEN rows_scanned WHEN 'stragglers' THEN rows_done + rows_gone END), 0)::float8 AS "rowsPassed",
         coalesce(sum(${recentSql}) FILTER (WHERE kind <> 'residual'), 0)::float8 AS "recentRows",
         coalesce(sum(rows_scanned) FILTER (WHERE kind = 'residual'), 0)::float8 AS "rowsChecked",
         coalesce(sum(${recentSql}) FILTER (WHERE kind = 'residual'), 0)::float8 AS "recentChecked",
         sum(throttled_ms)::float8 AS "loadMs",
         max(checkpointed_at) AS "lastCheckpointAt",
         -- That a range was taken from a worker is no sign of life: it may happen again and again.
         greatest(max(checkpointed_at), max(wake_at) FILTER (WHERE NOT done OR lease_until > clock_timestamp()),
           (SELECT (n.hold->>'seenAt')::timestamptz FROM ${s}.runs n WHERE n.id = r.run_id),
           (SELECT max(e.at) FROM ${s}.events e WHERE e.run_id = r.run_id AND e.kind <> 'rescued')
         ) AS "stillSince",
         (array_agg(throttle ORDER BY throttle->>'since') FILTER (WHERE throttle IS NOT NULL AND NOT done))[1] AS trouble,
         CASE WHEN bool_or(lease_until > clock_timestamp()) THEN NULL
           ELSE min(greatest(ticketed_at, wake_at)) FILTER (WHERE ticket IS NOT NULL) END AS "untakenSince",
         (SELECT count(*)::int FROM ${s}.stragglers x WHERE x.run_id = r.run_id) AS stragglers,
         (SELECT count(*)::int FROM ${s}.quarantine q WHERE q.run_id = r.run_id AND q.discarded_at IS NULL) AS quarantined,
         (SELECT count(*)::int FROM ${s}.quarantine q WHERE q.run_id = r.run_id AND q.discarded_at IS NOT NULL) AS discarded
       FROM ${s}.ranges r WHERE run_id = ANY($1) GROUP BY run_id) AS t
     JOIN ${s}.runs n ON n.id = t."runId"
     LEFT JOIN LATERAL (SELECT ${waitedMsSql} AS waited,
         CASE WHEN waiting_until > clock_timestamp() - make_interval(secs => 1) THEN waiting_since END AS since
       FROM ${s}.rates WHERE run_id = n.id) AS rate ON true
     LEFT JOIN LATERAL (SELECT nullif(state->'cause', 'null') AS cause,
         coalesce(to_timestamp((state->>'causeSince')::float8), stepped_at) AS since
       FROM ${s}.pace WHERE stepped_at > clock_timestamp() - make_interval(secs => ${paceGoodForSeconds})) AS pace ON true`,
    [runIds],
  )
  return new Map(rows.map(({ runId, ...totals }) => [runId, totals]))
}
