import type { ClientBase } from 'pg'
import { type Cursor, cursorSchema } from '../../core/range/key.ts'
import { declared } from '../../postgres/statement.ts'
import { batchParameters, checkpointSql, fencePassed, fenceSql, firstJobParameter } from './checkpoint.ts'
import { nextStragglerSql } from './leave.ts'
import { atMost, concat, eq, more, plus } from './operators.ts'
import type { TableSql } from './table.ts'
import { type Bounds, windowSql } from './window.ts'

const p = batchParameters
/** The values after those of every batch: the row's key, and Postgres' error. */
const fault = {
  key: `$${firstJobParameter}::pg_catalog.text[]`,
  sqlstate: `$${firstJobParameter + 1}::pg_catalog.text`,
  message: `$${firstJobParameter + 2}::pg_catalog.text`,
}

const firstKeyRows = declared('firstKey', { key: cursorSchema })

/** The first key between two bounds, the upper one included; null if there is none. */
export async function firstKey(
  client: ClientBase,
  table: TableSql,
  cursor: Cursor | null,
  upper: Cursor | null,
): Promise<Cursor | null> {
  // A missing bound adds no condition on the key: see insideSql in boundaries.ts.
  const above = cursor
    ? table.compare(table.keys, 'more', table.typedKeys('$1::pg_catalog.text[]'))
    : '$1::pg_catalog.text[] IS NULL'
  const below = upper
    ? table.compare(table.keys, 'atMost', table.typedKeys('$2::pg_catalog.text[]'))
    : '$2::pg_catalog.text[] IS NULL'
  const found = await client.query(
    `SELECT ${table.keyText} AS key FROM ${table.from} WHERE ${above} AND ${below} ORDER BY ${table.keys.join(', ')} LIMIT 1`,
    [cursor, upper],
  )
  return firstKeyRows.readFirst(found)?.key ?? null
}

/**
 * Passes over the next row and sets it aside, in one statement, if it is still the one that failed. It does not change
 * the row and does not evaluate the predicate, which may be what fails.
 */
export function setAsideSql(s: string, table: TableSql, bounds: Bounds, status: 'running' | 'verifying'): string {
  return `WITH ${fenceSql(s, table, status)}, ${windowSql(table, 'true', bounds)}, _ek_aside AS (
      INSERT INTO ${s}.quarantine AS q (run_id, key, sqlstate, message, attempts, leaf)
      SELECT ${p.runId}, ${fault.key}, ${fault.sqlstate}, ${fault.message}, 1, (SELECT _ek_leaf FROM _ek_fence)
      FROM _ek_window w WHERE ${table.keyArray('w')} ${eq} ${fault.key}
      ${onceMore} RETURNING 1
    ), ${asideSql(s, table, `(SELECT ${fault.key} FROM _ek_aside)`, status)}`
}

/** Sets a straggler aside, if it is still the next one of the sweep. */
export function setStragglerAsideSql(s: string, table: TableSql): string {
  return `WITH ${fenceSql(s, table, 'running')}, _ek_struck AS (
      DELETE FROM ${s}.stragglers WHERE ${fencePassed} AND run_id ${eq} ${p.runId} AND key ${eq} ${fault.key}
        AND id ${eq} (${nextStragglerSql(s)})
      RETURNING id, since, failures, leaf
    ), _ek_aside AS (
      INSERT INTO ${s}.quarantine AS q (run_id, key, sqlstate, message, attempts, since, leaf)
      SELECT ${p.runId}, ${fault.key}, ${fault.sqlstate}, ${fault.message}, pg_catalog.max(failures) ${plus} 1, pg_catalog.min(since), pg_catalog.max(leaf) FROM _ek_struck HAVING pg_catalog.count(*) ${more} 0
      ${onceMore} RETURNING 1
    ), ${asideSql(s, table, '(SELECT ARRAY[id::pg_catalog.text] FROM _ek_struck)', 'running')}`
}

/**
 * Sets aside stragglers that are not found because their partition is detached at the moment: `_ek_away`. If it comes
 * back, they are neither done nor known to be gone, and a job without a predicate could not tell. A dropped partition
 * cannot come back. Reads `_ek_due`, `_ek_reach`, `_ek_held` and `_ek_done`.
 */
export function setAwayAsideSql(s: string, table: TableSql): string {
  return `_ek_away AS (
      INSERT INTO ${s}.quarantine AS q (run_id, key, sqlstate, message, attempts, since, leaf)
      SELECT x.run_id, x.key, '42P01', 'its partition ' ${concat} c.relname::pg_catalog.text ${concat} ' is not part of the table at the moment: attach it and retry, or discard the row', x.failures ${plus} 1, x.since, x.leaf
      FROM _ek_due w JOIN ${s}.stragglers x ON x.id ${eq} w._ek_id JOIN pg_catalog.pg_class c ON c.oid ${eq} x.leaf::pg_catalog.oid
      WHERE x.id ${eq} ANY (ARRAY(SELECT _ek_id FROM _ek_due)) AND x.id ${atMost} (SELECT _ek_id FROM _ek_reach)
        AND NOT EXISTS (SELECT FROM _ek_held h WHERE h._ek_id ${eq} w._ek_id) AND NOT EXISTS (SELECT FROM _ek_done d WHERE ${table.equal('d', 'w')})
        AND NOT coalesce(pg_catalog.pg_partition_root(c.oid) ${eq} ${table.regclass}, false)
      ${onceMore} RETURNING 1
    )`
}

/** The checkpoint of a statement that did nothing but set a row aside, if it did: `_ek_aside`. */
function asideSql(s: string, table: TableSql, cursor: string, status: 'running' | 'verifying'): string {
  const aside = 'SELECT pg_catalog.count(*) FROM _ek_aside'
  const nothing = { ended: 'false', done: '0', gone: '0', still: "'[]'::pg_catalog.jsonb" }
  // A check has found the row; a window has passed over it.
  const left = status === 'verifying' ? aside : '0'
  return checkpointSql(s, table, { cursor, scanned: aside, matched: aside, left, ...nothing })
}

/** A row that was set aside before keeps its place, and the attempt is counted. */
const onceMore = `ON CONFLICT (run_id, digest) DO UPDATE SET attempts = q.attempts ${plus} 1, sqlstate = excluded.sqlstate,
        message = excluded.message, last_at = pg_catalog.clock_timestamp()`
