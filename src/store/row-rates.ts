import { z } from 'zod'
import type { RowRate } from '../core/throttle/row-rate.ts'
import { command, statement } from '../postgres/statement.ts'
import type { Control } from './control.ts'

/** No wait is longer: a rate that is raised, or a clock that is set, is found out by then. Seconds. */
const maxWaitSeconds = 3600
/** A clock that was set back by more than this has stopped the bucket; by less, it is only two sessions that crossed. Seconds. */
const clockSlackSeconds = 1

/** The answer to a worker that wants rows: when it may use them, or when to ask again. */
export interface Draw {
  readonly granted: boolean
  readonly waitSeconds: number
}

/** The bucket as it stands now, and how long it has kept workers waiting. */
function bucketSql(s: string, rowsPerSecond: string, burst: string): string {
  return `locked AS MATERIALIZED (SELECT * FROM ${s}.rates WHERE run_id = $1 FOR UPDATE),
    timed AS MATERIALIZED (SELECT *, pg_catalog.clock_timestamp() AS now FROM locked),
    bucket AS MATERIALIZED (
      SELECT run_id, CASE WHEN counted_at > now + make_interval(secs => ${clockSlackSeconds}) THEN now ELSE greatest(counted_at, now) END AS now,
        least(${burst}, rows + greatest(0, extract(epoch FROM now - counted_at))::float8 * ${rowsPerSecond}) AS rows,
        ${waitedSql('now')} AS waited_ms
      FROM timed)`
}

/** Waits that lie behind by a time, those that no statement has counted yet included. */
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

/** Draws rows for one worker. Where they would not be there within `patienceSeconds`, none are drawn. */
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

/** Puts rows back that a worker has drawn and not used. */
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

/** Until when no worker of each of these runs gets a row, where it must wait at all. Seconds. */
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

/** The rate of these runs has changed, or they have stopped: what its workers waited for is over, and no debt outlives the rate it was made under. */
export async function settleRates(control: Control, runIds: readonly string[]): Promise<void> {
  await settleRatesSql.run(control, [runIds])
}

const insertRateSql = command('insertRate', (s) => `INSERT INTO ${s}.rates (run_id) VALUES ($1)`)

/** A bucket for a new run. */
export async function insertRate(control: Control, runId: string): Promise<void> {
  await insertRateSql.run(control, [runId])
}

/** How long workers of a run in `rates` have waited for rows, by now. Milliseconds. */
export const waitedMsSql = waitedSql('clock_timestamp()')
