import { batchParameters, type CheckpointValues, fencePassed } from '../batch/checkpoint.ts'
import { atLeast, eq, less, more, over, plus } from '../batch/operators.ts'
import type { TableSql } from '../batch/table.ts'

const p = batchParameters

/**
 * A window of the check by page: the rows of as many pages as hold about `limit` rows by the table's statistics. The
 * key's index may be out of order, and a row's key may have moved behind every window of its range. A row that stays
 * in place is found here. Cursor and bounds are page numbers. Rows in quarantine are left out before `where` is
 * evaluated, which may be what fails.
 */
export function pagesSql(s: string, table: TableSql, matches: string, byLocale: boolean): string {
  const keys = table.keys.map((column, index) => `${column} AS ${table.keyNames[index]}`)
  const place = (page: string) => `(SELECT pg_catalog.format('(%s,0)', ${page})::pg_catalog.tid FROM _ek_pages)`
  const asides = `FROM ${s}.quarantine q WHERE q.run_id ${eq} ${p.runId}`
  const isAside = `(SELECT pg_catalog.count(*) ${asides}) ${more} 0
      AND EXISTS (SELECT ${asides} AND q.digest ${eq} ${s}.key_digest(${table.keyText}))`
  return `_ek_pages AS MATERIALIZED (
    SELECT f._ek_from, f._ek_end, least(f._ek_end, f._ek_from ${plus} pg_catalog.ceil(${p.limit}::pg_catalog.float8 ${over} f._ek_density)::bigint) AS _ek_to
    FROM (SELECT coalesce((${p.cursor})[1]::bigint, 0) AS _ek_from,
        coalesce((${p.upper})[1]::bigint, pg_catalog.pg_relation_size(c.oid) ${over} pg_catalog.current_setting('block_size')::bigint) AS _ek_end,
        CASE WHEN c.relpages ${more} 0 AND c.reltuples ${more} '0'::pg_catalog.float4
          THEN greatest('1'::pg_catalog.float8, c.reltuples::pg_catalog.float8 ${over} c.relpages::pg_catalog.float8)
          ELSE '50'::pg_catalog.float8 END AS _ek_density
      FROM pg_catalog.pg_class c WHERE c.oid ${eq} ${table.regclass}::pg_catalog.oid AND ${fencePassed}) AS f
  ), _ek_window AS MATERIALIZED (
    SELECT ${keys.join(', ')}, CASE WHEN ${isAside} THEN false ELSE ${matches} END AS _ek_matches, ${byLocale ? table.isUnfindable : 'false'} AS _ek_lost
    FROM ${table.from}
    WHERE ${fencePassed} AND ${table.name}.ctid ${atLeast} ${place('_ek_from')} AND ${table.name}.ctid ${less} ${place('_ek_to')}
  ), _ek_passed AS MATERIALIZED (
    SELECT pg_catalog.count(*) AS _ek_scanned, pg_catalog.count(*) FILTER (WHERE _ek_matches) AS _ek_matched FROM _ek_window
  )`
}

/** Where a window of pages leaves the cursor, and whether it reached the end of the file. */
export const pagesEnd: Pick<CheckpointValues, 'cursor' | 'ended' | 'scanned' | 'matched'> = {
  cursor: '(SELECT ARRAY[_ek_to::pg_catalog.text] FROM _ek_pages)',
  ended: `(SELECT _ek_to ${atLeast} _ek_end FROM _ek_pages)`,
  scanned: 'SELECT _ek_scanned FROM _ek_passed',
  matched: '(SELECT _ek_matched FROM _ek_passed)',
}
