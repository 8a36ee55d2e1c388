import { z } from 'zod'
import { rateWindowSeconds } from '../core/run/progress.ts'
import { throttleSchema } from '../core/throttle/reasons.ts'
import { paceCauseSchema } from '../core/throttle/response.ts'
import { jsonb, statement } from '../postgres/statement.ts'
import { leaseHolds, secondsFrom, wakesAt } from './clock.ts'
import type { Control } from './control.ts'
import { waitedMsSql } from './row-rates.ts'

// One moment for all comparisons.
const now = 'statement_timestamp()'

const totalsColumns = {
  runId: z.string(),
  rowsScanned: z.number(),
  rowsScannedAgain: z.number(),
  rowsAgain: z.number(),
  openSlices: z.number(),
  rowsDone: z.number(),
  rowsGone: z.number(),
  rowsPassed: z.number(),
  recentRows: z.number(),
  rowsChecked: z.number(),
  recentChecked: z.number(),
  /** Rows found by the checks, over all rounds. */
  rowsFound: z.number(),
  workedSeconds: z.number(),
  sinceSeconds: z.number(),
  /** `loadMs` counts waits for the pace. `waitedSeconds` adds waits for rows under the rate. Holds are in neither. */
  loadMs: z.number(),
  waitedSeconds: z.number(),
  /** Whether a worker holds one of the run's ranges. */
  leased: z.boolean(),
  stillSince: z.date(),
  stillSeconds: z.number(),
  lastCheckpointAt: z.date().nullable(),
  stragglers: z.number(),
  quarantined: z.number(),
  discarded: z.number(),
  /** The error that one of its ranges waits for. */
  trouble: jsonb(throttleSchema).nullable(),
  readOnly: z.boolean(),
  /** Since when workers wait for rows under the run's rate; null if none has waited within the last second. */
  rateSince: z.date().nullable(),
  untakenSince: z.date().nullable(),
  untakenSeconds: z.number(),
  othersAtWork: z.number(),
  /** Null also if another release wrote it, as in pace.ts. */
  paceCause: jsonb(paceCauseSchema.nullable().catch(null)),
  paceSince: z.date().nullable(),
  /** The last step of the pace, if workers of the run have waited several seconds for the next one; else null. */
  paceStuckSince: z.date().nullable(),
  /** On the database's clock. */
  readAt: z.date(),
}

/** The sums from which progress is computed. */
export type RangeTotals = Readonly<Omit<z.output<z.ZodObject<typeof totalsColumns>>, 'runId' | 'loadMs' | 'leased'>>

const recentSql = `recent_rows * exp(-greatest(0, extract(epoch FROM clock_timestamp() - checkpointed_at))::float8 / ${rateWindowSeconds})`
/** A pace that no process has stepped for this long says nothing about the present. Seconds. */
const paceGoodForSeconds = 5

const sumRangesSql = statement(
  'sumRanges',
  totalsColumns,
  (s) => `SELECT t.*, clock_timestamp() AS "readAt", ${now} - make_interval(secs => "stillSeconds") AS "stillSince",
       coalesce(extract(epoch FROM clock_timestamp() - "untakenSince"), 0)::float8 AS "untakenSeconds",
       (n.worked_ms / 1000 + coalesce(greatest(0, extract(epoch FROM clock_timestamp() - n.working_since)), 0))::float8 AS "workedSeconds",
       greatest(0, extract(epoch FROM clock_timestamp() - coalesce(n.working_since,
         (SELECT max(e.at) FROM ${s}.events e WHERE e.run_id = n.id AND e.kind = 'verify'))))::float8 AS "sinceSeconds",
       (t."loadMs" + coalesce(rate.waited, 0)) / 1000 AS "waitedSeconds", rate.since AS "rateSince",
       (SELECT count(DISTINCT o.run_id)::int FROM ${s}.ranges o WHERE ${leaseHolds('o.lease_until')} AND o.run_id <> n.id
         AND t."untakenSince" IS NOT NULL) AS "othersAtWork",
       pace.cause AS "paceCause", pace.since AS "paceSince",
       CASE WHEN t.leased AND n.working_since < clock_timestamp() - make_interval(secs => ${paceGoodForSeconds}) THEN stuck.since END AS "paceStuckSince",
       pg_catalog.current_setting('transaction_read_only') = 'on' AS "readOnly"
     FROM (SELECT run_id AS "runId",
         coalesce(sum(rows_scanned) FILTER (WHERE phase = 'keys'), 0)::float8 AS "rowsScanned",
         coalesce(sum(rows_scanned) FILTER (WHERE rows_again IS NOT NULL), 0)::float8 AS "rowsScannedAgain",
         coalesce(sum(rows_again), 0)::float8 AS "rowsAgain",
         count(*) FILTER (WHERE phase = 'keys' AND NOT done)::int AS "openSlices",
         coalesce(sum(rows_done) FILTER (WHERE phase IN ('keys', 'stragglers')), 0)::float8 AS "rowsDone",
         coalesce(sum(rows_left) FILTER (WHERE phase IN ('residual', 'pages')), 0)::float8 AS "rowsFound",
         sum(rows_gone)::float8 AS "rowsGone",
         coalesce(sum(CASE phase WHEN 'keys' THEN rows_scanned WHEN 'stragglers' THEN rows_done + rows_gone END), 0)::float8 AS "rowsPassed",
         coalesce(sum(${recentSql}) FILTER (WHERE phase IN ('keys', 'stragglers')), 0)::float8 AS "recentRows",
         coalesce(sum(rows_scanned) FILTER (WHERE phase = 'residual'), 0)::float8 AS "rowsChecked",
         coalesce(sum(${recentSql}) FILTER (WHERE phase = 'residual'), 0)::float8 AS "recentChecked",
         sum(throttled_ms)::float8 AS "loadMs",
         coalesce(bool_or(${leaseHolds('lease_until')}), false) AS leased,
         coalesce(max(checkpointed_at) FILTER (WHERE checkpointed_at <= ${now}), max(checkpointed_at)) AS "lastCheckpointAt",
         -- From the nearest sign, before or behind: a clock that has gone back leaves some ahead. That a range was taken from a
         -- worker is no sign of life: it may happen again and again.
         least(min(${secondsFrom('checkpointed_at', now)}),
           min(extract(epoch FROM ${now} - ${wakesAt('r', now)})) FILTER (WHERE NOT done OR ${leaseHolds('lease_until')}),
           (SELECT ${secondsFrom("(n.hold->>'seenAt')::timestamptz", now)} FROM ${s}.runs n WHERE n.id = r.run_id),
           (SELECT ${secondsFrom('max(e.at)', now)} FROM ${s}.events e WHERE e.run_id = r.run_id AND e.kind <> 'rescued' AND e.at <= ${now}),
           (SELECT ${secondsFrom('min(e.at)', now)} FROM ${s}.events e WHERE e.run_id = r.run_id AND e.kind <> 'rescued' AND e.at > ${now})
         )::float8 AS "stillSeconds",
         (array_agg(throttle ORDER BY throttle->>'since') FILTER (WHERE throttle IS NOT NULL AND NOT done))[1] AS trouble,
         CASE WHEN bool_or(${leaseHolds('lease_until')}) THEN NULL
           ELSE min(greatest(ticketed_at, ${wakesAt('r')})) FILTER (WHERE ticket IS NOT NULL) END AS "untakenSince",
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
       FROM ${s}.pace WHERE ${secondsFrom('stepped_at')} < ${paceGoodForSeconds}) AS pace ON true
     LEFT JOIN LATERAL (SELECT stepped_at AS since FROM ${s}.pace WHERE ${secondsFrom('stepped_at')} >= ${paceGoodForSeconds}) AS stuck ON true`,
)

/** The sums by run. */
export async function sumRanges(control: Control, runIds: readonly string[]): Promise<Map<string, RangeTotals>> {
  const sums = await sumRangesSql.rows(control, [runIds])
  return new Map(sums.map(({ runId, ...totals }) => [runId, totals]))
}
