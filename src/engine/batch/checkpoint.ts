import { rateWindowSeconds } from '../../core/run/progress.ts'
import { eq, item, minus, over, plus, same, times } from './operators.ts'
import type { TableSql } from './table.ts'

/**
 * The parameters that every batch statement begins with; the job's own values follow from `$9`. `throttledMs` is how
 * long this worker has waited for the pace since its last batch, as a part of the run's own time.
 */
export const batchParameters = {
  runId: '$1::pg_catalog.text',
  ordinal: '$2::int',
  epoch: '$3::bigint',
  cursor: '$4::pg_catalog.text[]',
  upper: '$5::pg_catalog.text[]',
  limit: '$6::int',
  leaseSeconds: '$7::pg_catalog.float8',
  throttledMs: '$8::pg_catalog.float8',
} as const
export const firstJobParameter = 9

const p = batchParameters

/**
 * The fence: locks the range's row, if it is still ours and its run may be worked on (not stopped, not held). Pausing
 * and cancelling raise the epoch under this same lock. So they wait for a batch in flight, and a later batch finds no
 * row here. The cursor is compared as well: a batch given up for lost may have committed after all. So is the table as
 * it was when the lease began: see unchanged.ts.
 */
export function fenceSql(s: string, table: TableSql, status: 'running' | 'verifying'): string {
  return `_ek_fence AS MATERIALIZED (
    SELECT n.version AS _ek_version, r.leaf ${item} 'oid' AS _ek_leaf FROM ${s}.ranges r JOIN ${s}.runs n ON n.id ${eq} r.run_id
    WHERE r.run_id ${eq} ${p.runId} AND r.ordinal ${eq} ${p.ordinal} AND r.epoch ${eq} ${p.epoch} AND NOT r.done
      AND ${same('r.cursor', p.cursor)} AND ${same('r.upper_key', p.upper)}
      AND n.status ${eq} '${status}' AND n.hold IS NULL AND ${table.isOurs}
    FOR NO KEY UPDATE OF r
  )`
}

/** True if the fence was passed. Evaluated before the first row of the user's table is read. */
export const fencePassed = `(SELECT pg_catalog.count(*) FROM _ek_fence) ${eq} 1`

/** The counts at the end of a batch statement. Each is an SQL expression over the CTEs before it. */
export interface CheckpointValues {
  /** text[], or NULL to leave the cursor where it is */
  readonly cursor: string
  /** boolean: the range has reached its end */
  readonly ended: string
  readonly scanned: string
  readonly matched: string
  readonly done: string
  /** Rows recorded as stragglers. */
  readonly left: string
  /** Stragglers that no longer exist or no longer match. */
  readonly gone: string
  /** jsonb: keys of rows that match even after they were changed. */
  readonly still: string
  /** A batch that passed clears the reported trouble, unless this says otherwise. */
  readonly trouble?: 'stays'
}

/**
 * The checkpoint: cursor, counters and the renewed lease, in the batch's own statement. Returns one row, or none if the
 * fence was shut.
 *
 * The fence is asked before any trigger fires. Statement triggers fire even without a row, and their effects would
 * commit.
 *
 * Recent rows fade by the clock. Their sum over all ranges of a run gives its rate, whichever ranges are worked on at
 * the moment.
 */
export function checkpointSql(s: string, table: TableSql, values: CheckpointValues): string {
  const still = `pg_catalog.clock_timestamp() ${minus} coalesce(r.checkpointed_at, pg_catalog.clock_timestamp())`
  const quiet = `greatest('0'::pg_catalog.float8, extract(epoch FROM ${still})::pg_catalog.float8)`
  const fade = `pg_catalog.exp(${quiet} ${over} ('-${rateWindowSeconds}'::pg_catalog.float8))`
  const passed = `CASE WHEN r.phase ${eq} 'stragglers' THEN c.done ${plus} c.gone ELSE c.scanned END`
  return `_ek_counts AS MATERIALIZED (
    SELECT ${values.cursor} AS cursor, ${values.ended} AS ended, (${values.scanned})::int AS scanned,
      (${values.matched})::int AS matched, (${values.done})::int AS done, (${values.left})::int AS "left",
      (${values.gone})::int AS gone, ${values.still} AS still
  ), _ek_checkpoint AS (
    UPDATE ${s}.ranges r SET
      cursor = coalesce(c.cursor, r.cursor), done = c.ended,
      rows_scanned = r.rows_scanned ${plus} c.scanned, rows_done = r.rows_done ${plus} c.done, rows_gone = r.rows_gone ${plus} c.gone,
      rows_left = r.rows_left ${plus} c."left",
      batches = r.batches ${plus} 1, batch_size = ${p.limit},${values.trouble ? '' : ' attempts = 0, throttle = NULL,'}
      throttled_ms = r.throttled_ms ${plus} ${p.throttledMs},
      recent_rows = (r.recent_rows ${times} ${fade}) ${plus} ((${passed})::pg_catalog.float8),
      lease_until = pg_catalog.clock_timestamp() ${plus} pg_catalog.make_interval(secs => ${p.leaseSeconds}), checkpointed_at = pg_catalog.clock_timestamp()
    FROM _ek_fence, _ek_counts c
    WHERE r.run_id ${eq} ${p.runId} AND r.ordinal ${eq} ${p.ordinal}
    RETURNING r.cursor, _ek_fence._ek_version::int AS version
  )
  SELECT k.cursor, k.version, c.ended, c.scanned, c.matched, c.done, c."left", c.gone, c.still
  FROM _ek_checkpoint k, _ek_counts c WHERE CASE WHEN ${fencePassed} THEN true ELSE ${s}.fence_shut(${table.regclass}, (SELECT pg_catalog.count(*) FROM _ek_fence)) END`
}
