import type { ClientBase } from 'pg'
import type { Cursor } from '../core/key.ts'
import { batchParameters, checkpointSql, fencePassed, fenceSql, firstJobParameter } from './checkpoint.ts'
import { asRow, type TableSql } from './table.ts'
import { type Bounds, windowSql } from './window.ts'

const p = batchParameters
/** The values that follow those of every batch: the row's key, and what Postgres said of it. */
const fault = {
  key: `$${firstJobParameter}::text[]`,
  sqlstate: `$${firstJobParameter + 1}::text`,
  message: `$${firstJobParameter + 2}::text`,
}

/** The first key of a slice, its upper bound included; null where there is none. */
export async function firstKey(
  client: ClientBase,
  table: TableSql,
  cursor: Cursor | null,
  upper: Cursor | null,
): Promise<Cursor | null> {
  const key = asRow(table.keys)
  // A bound that is not there leaves no condition on the key: see insideSql in cut.ts.
  const above = cursor ? `${key} > ${table.row('$1::text[]')}` : '$1::text[] IS NULL'
  const below = upper ? `${key} <= ${table.row('$2::text[]')}` : '$2::text[] IS NULL'
  const { rows } = await client.query<{ key: Cursor }>(
    `SELECT ${table.keyText} AS key FROM ${table.from} WHERE ${above} AND ${below} ORDER BY ${table.keys.join(', ')} LIMIT 1`,
    [cursor, upper],
  )
  return rows[0]?.key ?? null
}

/**
 * Passes over the next row and sets it aside, in one statement: if it is still the one that failed. It changes nothing of
 * the row and does not look at the predicate, which may be what fails.
 */
export function setAsideSql(s: string, table: TableSql, bounds: Bounds, status: 'running' | 'verifying'): string {
  const aside = 'SELECT count(*) FROM _ek_aside'
  return `WITH ${fenceSql(s, status)}, ${windowSql(table, 'true', bounds)}, _ek_aside AS (
      INSERT INTO ${s}.quarantine AS q (run_id, key, sqlstate, message, attempts)
      SELECT ${p.runId}, ${fault.key}, ${fault.sqlstate}, ${fault.message}, 1
      FROM _ek_window w WHERE ${table.keyArray('w')} = ${fault.key}
      ${onceMore} RETURNING 1
    ), ${checkpointSql(s, {
      cursor: `(SELECT ${fault.key} FROM _ek_aside)`,
      ended: 'false',
      scanned: aside,
      matched: aside,
      done: '0',
      left: '0',
      gone: '0',
      still: "'[]'::jsonb",
    })}`
}

/** Sets a straggler aside, if it still is one. */
export function setStragglerAsideSql(s: string): string {
  const aside = 'SELECT count(*) FROM _ek_aside'
  return `WITH ${fenceSql(s, 'running')}, _ek_struck AS (
      DELETE FROM ${s}.stragglers WHERE ${fencePassed} AND run_id = ${p.runId} AND key = ${fault.key} RETURNING since, failures
    ), _ek_aside AS (
      INSERT INTO ${s}.quarantine AS q (run_id, key, sqlstate, message, attempts, since)
      SELECT ${p.runId}, ${fault.key}, ${fault.sqlstate}, ${fault.message}, max(failures) + 1, min(since) FROM _ek_struck HAVING count(*) > 0
      ${onceMore} RETURNING 1
    ), ${checkpointSql(s, {
      cursor: 'NULL::text[]',
      ended: 'false',
      scanned: aside,
      matched: aside,
      done: '0',
      left: '0',
      gone: '0',
      still: "'[]'::jsonb",
    })}`
}

/** A row that was set aside before keeps its place, and is counted. */
const onceMore = `ON CONFLICT (run_id, key) DO UPDATE SET attempts = q.attempts + 1, sqlstate = excluded.sqlstate,
        message = excluded.message, last_at = clock_timestamp()`
