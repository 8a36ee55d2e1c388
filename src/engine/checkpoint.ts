import { rateWindowSeconds } from '../core/progress.ts'
import type { TableSql } from './table.ts'

/**
 * The parameters that every batch statement begins with; the job's own values follow from `$11`.
 * `workedMs` is the time since the batch before began, `throttledMs` the part of it that pace held the worker back.
 */
export const batchParameters = {
  runId: '$1::text',
  ordinal: '$2::int',
  epoch: '$3::bigint',
  cursor: '$4::text[]',
  upper: '$5::text[]',
  limit: '$6::int',
  leaseSeconds: '$7::float8',
  workedMs: '$8::float8',
  throttledMs: '$9::float8',
  throttle: '$10::jsonb',
} as const
export const firstJobParameter = 11

const p = batchParameters

/**
 * The fence: the range's row, locked, if it is still ours and its run may be worked on: not stopped, and not held by pace. Pausing and cancelling raise the
 * epoch under this same lock, so they wait for a batch in flight, and a batch that comes after them finds no row here.
 * The cursor is compared as well: a batch that we gave up for lost may have committed after all. And so is what the table's name
 * means: another table may be put in its place between two batches, and Postgres then reads the statement anew.
 */
export function fenceSql(s: string, table: TableSql, status: 'running' | 'verifying'): string {
  return `_ek_fence AS MATERIALIZED (
    SELECT n.version AS _ek_version, r.leaf->>'oid' AS _ek_leaf FROM ${s}.ranges r JOIN ${s}.runs n ON n.id = r.run_id
    WHERE r.run_id = ${p.runId} AND r.ordinal = ${p.ordinal} AND r.epoch = ${p.epoch} AND NOT r.done
      AND r.cursor IS NOT DISTINCT FROM ${p.cursor} AND r.upper_key IS NOT DISTINCT FROM ${p.upper}
      AND n.status = '${status}' AND n.hold IS NULL AND ${table.isOurs}
    FOR NO KEY UPDATE OF r
  )`
}

/** True once the fence has been passed; evaluated before the first row of the user's table is read. */
export const fencePassed = '(SELECT count(*) FROM _ek_fence) = 1'

/** What the end of a batch statement counts; each is an SQL expression over the CTEs before it. */
export interface CheckpointValues {
  /** text[], or NULL to leave the cursor where it is */
  readonly cursor: string
  /** boolean: the range has come to its end */
  readonly ended: string
  readonly scanned: string
  readonly matched: string
  readonly done: string
  /** Rows written down as stragglers. */
  readonly left: string
  /** Stragglers that no longer exist or no longer match. */
  readonly gone: string
  /** jsonb: keys of rows that match even after they were changed. */
  readonly still: string
}

/**
 * The checkpoint: cursor, counters and the renewed lease, in the batch's own statement; then the row that is returned,
 * or none when the fence was not passed. Rows and time of late fade with `rateWindowSeconds`; their quotient is the rate.
 */
export function checkpointSql(s: string, values: CheckpointValues): string {
  const fade = `exp(-${p.workedMs} / ${rateWindowSeconds * 1000}.0)`
  return `_ek_counts AS MATERIALIZED (
    SELECT ${values.cursor} AS cursor, ${values.ended} AS ended, (${values.scanned})::int AS scanned,
      (${values.matched})::int AS matched, (${values.done})::int AS done, (${values.left})::int AS "left",
      (${values.gone})::int AS gone, ${values.still} AS still
  ), _ek_checkpoint AS (
    UPDATE ${s}.ranges r SET
      cursor = coalesce(c.cursor, r.cursor), done = c.ended,
      rows_scanned = r.rows_scanned + c.scanned, rows_done = r.rows_done + c.done, rows_gone = r.rows_gone + c.gone,
      batches = r.batches + 1, batch_size = ${p.limit}, attempts = 0,
      worked_ms = r.worked_ms + ${p.workedMs}, throttled_ms = r.throttled_ms + ${p.throttledMs}, throttle = ${p.throttle},
      recent_rows = r.recent_rows * ${fade} + c.scanned, recent_ms = r.recent_ms * ${fade} + ${p.workedMs},
      recent_throttled_ms = r.recent_throttled_ms * ${fade} + ${p.throttledMs},
      lease_until = clock_timestamp() + make_interval(secs => ${p.leaseSeconds}), checkpointed_at = clock_timestamp()
    FROM _ek_fence, _ek_counts c
    WHERE r.run_id = ${p.runId} AND r.ordinal = ${p.ordinal}
    RETURNING r.cursor, _ek_fence._ek_version::int AS version
  )
  SELECT k.cursor, k.version, c.ended, c.scanned, c.matched, c.done, c."left", c.gone, c.still
  FROM _ek_checkpoint k, _ek_counts c`
}
