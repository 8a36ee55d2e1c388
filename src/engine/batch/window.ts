import { batchParameters, type CheckpointValues, fencePassed } from './checkpoint.ts'
import { atLeast, eq, less, more, plus } from './operators.ts'
import type { TableSql } from './table.ts'

const p = batchParameters

/** The bounds that a window statement has. A range may be open at either end. */
export interface Bounds {
  readonly cursor: boolean
  readonly upper: boolean
}

/**
 * The next rows in key order. Limits the rows scanned, not the rows matched, so that a sparse predicate cannot make a
 * batch read the table. Uses a row comparison, because only that is one index range scan; spelled out with OR it is a
 * hundred times slower.
 */
export function windowSql(table: TableSql, matches: string, bounds: Bounds, gate = fencePassed): string {
  const conditions = [
    gate,
    ...(bounds.cursor ? [table.compare(table.keys, 'more', table.typedKeys(p.cursor))] : []),
    ...(bounds.upper ? [table.compare(table.keys, 'atMost', table.typedKeys(p.upper))] : []),
  ]
  const keys = table.keys.map((column, index) => `${column} AS ${table.keyNames[index]}`)
  return `_ek_window AS MATERIALIZED (
    SELECT ${keys.join(', ')}, ${table.name}.ctid AS _ek_at, ${matches} AS _ek_matches
    FROM ${table.from}
    WHERE ${conditions.join(' AND ')}
    ORDER BY ${table.keys.join(', ')} LIMIT ${p.limit}
  ), _ek_passed AS MATERIALIZED (
    SELECT pg_catalog.count(*) AS _ek_scanned, pg_catalog.count(*) FILTER (WHERE _ek_matches) AS _ek_matched FROM _ek_window
  )`
}

/** How many rows of the window match. */
export const matched = '(SELECT _ek_matched FROM _ek_passed)'

/** Where a window leaves the cursor, and whether it reached the end of the range: it came up short. */
export function windowEnd(table: TableSql): Pick<CheckpointValues, 'cursor' | 'ended' | 'scanned' | 'matched'> {
  const last = table.keyNames.map((key) => `w.${key} DESC`).join(', ')
  return {
    cursor: `(SELECT ${table.keyArray('w')} FROM _ek_window w ORDER BY ${last} LIMIT 1)`,
    ended: `(SELECT _ek_scanned FROM _ek_passed) ${less} ${p.limit}`,
    scanned: 'SELECT _ek_scanned FROM _ek_passed',
    matched,
  }
}

/** A window with more rows left to do than this is worth passing over again; fewer are cheaper by key. */
const maxAlone = 20
/** The most slices that a range of the check writes. Later windows widen the last slice, over the rows in between. */
const maxSlices = 16

/**
 * Records the window as a slice to be passed over again, if it is full of matching rows: `_ek_full`. Widens a slice
 * that the previous window wrote. Writes none with a row in quarantine: that would only fail again.
 */
export function writeLeftoverSql(s: string, table: TableSql, inQuarantine: string): string {
  const mine = `l.run_id ${eq} ${p.runId} AND l.ordinal ${eq} ${p.ordinal}`
  const touches = `(l.upper_key ${eq} ${p.cursor} OR (SELECT pg_catalog.count(*) FROM ${s}.leftovers l WHERE ${mine}) ${atLeast} ${maxSlices})`
  return `_ek_full AS MATERIALIZED (
    SELECT _ek_matched ${more} ${maxAlone} AND NOT EXISTS (SELECT FROM _ek_window w WHERE w._ek_matches AND EXISTS (${inQuarantine})) AS _ek_is_full,
      _ek_scanned, _ek_matched, ${windowEnd(table).cursor} AS _ek_end
    FROM _ek_passed
  ), _ek_widened AS (
    UPDATE ${s}.leftovers l SET upper_key = f._ek_end, scanned = l.scanned ${plus} f._ek_scanned, found = l.found ${plus} f._ek_matched
    FROM _ek_full f WHERE f._ek_is_full AND l.id ${eq} (SELECT pg_catalog.max(l.id) FROM ${s}.leftovers l WHERE ${mine}) AND ${touches}
    RETURNING 1
  ), _ek_begun AS (
    INSERT INTO ${s}.leftovers (run_id, ordinal, lower_key, upper_key, scanned, found)
    SELECT ${p.runId}, ${p.ordinal}, ${p.cursor}, f._ek_end, f._ek_scanned, f._ek_matched FROM _ek_full f
    WHERE f._ek_is_full AND NOT EXISTS (SELECT FROM _ek_widened)
  )`
}

/** Records those rows of `_ek_window` as stragglers that meet the condition. */
export function writeStragglersSql(s: string, table: TableSql, condition: string): string {
  return `_ek_left AS (
    INSERT INTO ${s}.stragglers (run_id, key, leaf)
    SELECT ${p.runId}, ${table.keyArray('w')}, (SELECT _ek_leaf FROM _ek_fence) FROM _ek_window w WHERE w._ek_matches AND ${condition}
    RETURNING 1
  )`
}
