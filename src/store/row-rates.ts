import { z } from 'zod'
import type { RowRate } from '../core/throttle/row-rate.ts'
import { command, statement } from '../postgres/statement.ts'
import type { Control } from './control.ts'

/** The longest wait. A raised rate or a changed clock is noticed by then. Seconds. */
const maxWaitSeconds = 3600
/**
 * A clock set back by more than this has stopped the bucket. A smaller difference only means that two sessions
 * overlapped. Seconds.
 */
const clockSlackSeconds = 1

/** The answer to a request for rows: granted, or how long to wait before asking again. Seconds. */
export interface Draw {
  readonly granted: boolean
  readonly waitSeconds: number
}

/** SQL: the current content of the bucket, and how long workers have waited for it. */
function bucketSql(s: string, rowsPerSecond: string, burst: string): string {
  return `locked AS MATERIALIZED (SELECT * FROM ${s}.rates WHERE run_id = $1 FOR UPDATE),
    timed AS MATERIALIZED (SELECT *, pg_catalog.clock_timestamp() AS now FROM locked),
    bucket AS MATERIALIZED (
      SELECT run_id, CASE WHEN counted_at > now + make_interval(secs => ${clockSlackSeconds}) THEN now ELSE greatest(counted_at, now) END AS now,
        least(${burst}, rows + greatest(0, extract(epoch FROM now - counted_at))::float8 * ${rowsPerSecond}) AS rows,
        ${waitedSql('now')} AS waited_ms
      FROM timed)`
}

/** SQL: waits up to a moment, including those that no statement has counted yet. Milliseconds. */
function waitedSql(now: string): string {
  return `(waited_ms + CASE WHEN waiting_until > counted_at
    THEN greatest(0, extract(epoch FROM least(${now}, waiting_until) - counted_at)) * 1000 ELSE 0 END)::float8`
}

const drawRowsSql = statement(
  'drawRows',
  { granted: z.boolean(), waitSeconds: z.number() },
  (s) => `WITH ${bucketSql(s, '$3::float8', '$4::float8')},
       draw AS (SELECT *, least(${maxWaitSeconds}, greatest(0, $2::float8 - rows) / $3::float8) AS wait FROM bucket)
     UPDATE ${s}.rates r SET counted_at = d.now, waited_ms = d.waited_ms,
       rows = d.rows - CASE WHEN d.wait <= $5::float8 THEN $2::float8 ELSE 0 END,
       waiting_since = CASE WHEN d.wait > 0 AND coalesce(r.waiting_until < d.now - make_interval(secs => 1), true) THEN d.now ELSE r.waiting_since END,
       waiting_until = CASE WHEN d.wait > 0 THEN d.now + make_interval(secs => d.wait) ELSE r.waiting_until END
     FROM draw d WHERE r.run_id = d.run_id
     RETURNING d.wait <= $5::float8 AS granted, d.wait AS "waitSeconds"`,
)

/** Draws rows for one worker. Draws none if they would not be available within `patienceSeconds`. */
export function drawRows(
  control: Control,
  runId: string,
  rows: number,
  { rowsPerSecond, burst }: RowRate,
  patienceSeconds: number,
): Promise<Draw> {
  return drawRowsSql.one(control, [runId, rows, rowsPerSecond, burst, patienceSeconds])
}

const returnRowsSql = command('returnRows', (s) => `UPDATE ${s}.rates SET rows = rows + $2 WHERE run_id = $1`)

/** Puts rows that a worker has drawn and not used back into the bucket. */
export async function returnRows(control: Control, runId: string, rows: number): Promise<void> {
  await returnRowsSql.run(control, [runId, rows])
}

const rowWaitsSql = statement(
  'rowWaits',
  { runId: z.string(), seconds: z.number() },
  (s) => `SELECT run_id AS "runId", least(${maxWaitSeconds}, (1 - rows) / asked.rate
       - greatest(0, extract(epoch FROM clock_timestamp() - counted_at))::float8) AS seconds
     FROM ${s}.rates JOIN unnest($1::text[], $2::float8[]) AS asked (id, rate) ON asked.id = run_id`,
)

/** How long no worker of each run can get a row, by run. 0 or absent for a run that need not wait. Seconds. */
export async function rowWaits(
  control: Control,
  rates: ReadonlyArray<{ readonly runId: string } & Pick<RowRate, 'rowsPerSecond'>>,
): Promise<ReadonlyMap<string, number>> {
  if (rates.length === 0) return new Map()
  const waits = await rowWaitsSql.rows(control, [
    rates.map(({ runId }) => runId),
    rates.map(({ rowsPerSecond }) => rowsPerSecond),
  ])
  return new Map(waits.map(({ runId, seconds }) => [runId, Math.max(0, seconds)]))
}

const settleRatesSql = command(
  'settleRates',
  (
    s,
  ) => `UPDATE ${s}.rates SET waited_ms = ${waitedSql('clock_timestamp()')}, rows = greatest(0, rows), counted_at = clock_timestamp(),
       waiting_since = NULL, waiting_until = NULL WHERE run_id = ANY($1)`,
)

/**
 * Resets the buckets of runs that have stopped or whose rate has changed. Waits end, and no debt outlives the rate
 * under which it was made.
 */
export async function settleRates(control: Control, runIds: readonly string[]): Promise<void> {
  await settleRatesSql.run(control, [runIds])
}

const insertRateSql = command('insertRate', (s) => `INSERT INTO ${s}.rates (run_id) VALUES ($1)`)

/** Inserts the bucket of a new run. */
export async function insertRate(control: Control, runId: string): Promise<void> {
  await insertRateSql.run(control, [runId])
}

/** SQL: how long workers of a run in `rates` have waited for rows so far. Milliseconds. */
export const waitedMsSql = waitedSql('clock_timestamp()')
