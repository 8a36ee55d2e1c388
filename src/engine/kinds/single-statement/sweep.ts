import { batchParameters, checkpointSql, fencePassed, fenceSql } from '../../batch/checkpoint.ts'
import { dueSql } from '../../batch/leave.ts'
import { atLeast, atMost, eq, less, minus, plus, times } from '../../batch/operators.ts'
import { setAwayAsideSql } from '../../batch/quarantine.ts'
import type { TableSql } from '../../batch/table.ts'
import { countDone, doneUnless, movedSql, stillSql } from './done-rows.ts'
import type { RowChange } from './row-change.ts'

const p = batchParameters

/** How many stragglers a wide look reads for each one that it may change. */
const wideLook = 20

/**
 * The next stragglers of a sweep: found by key, locked if they are free now, changed, and struck off in the same
 * statement. A straggler that is gone or does not match is struck off as gone. One that is still held is passed by, and
 * nothing is written about it: there may be a million of them, and vacuum cannot remove what is written while their
 * holder's transaction lasts. A wide look passes by many of them in one batch and changes no more rows than another.
 *
 * The cursor is the id of the last straggler passed, and `0` at the end of a sweep. They are struck off by an array of
 * their ids: a join would be planned for a tenth of all stragglers, whatever the limit, and read their whole table.
 */
export function stragglersSql(
  s: string,
  table: TableSql,
  matches: string,
  change: RowChange,
  { mayBeAway, wide }: { readonly mayBeAway: boolean; readonly wide: boolean },
): string {
  const keys = table.keyNames.map((key) => `_ek_due.${key}`).join(', ')
  const typed = table.typedKeys('x.key').map((key, index) => `${key} AS ${table.keyNames[index]}`)
  const sameKey = table.sameKey(
    table.keys,
    table.keyNames.map((key) => `_ek_due.${key}`),
  )
  const looked = wide ? `(${p.limit}::bigint ${times} '${wideLook}'::bigint)` : p.limit
  const count = (relation: string) => `(SELECT pg_catalog.count(*) FROM ${relation})`
  const atLimit = `${count('_ek_locked')} ${atLeast} ${p.limit}`
  const reached = `_ek_id ${atMost} (SELECT _ek_id FROM _ek_reach)`
  return `WITH ${fenceSql(s, table, 'running')}, _ek_due AS MATERIALIZED (
      SELECT x.id AS _ek_id, ${typed.join(', ')} FROM ${s}.stragglers x
      WHERE ${fencePassed} AND ${dueSql('x')} ORDER BY x.id LIMIT ${looked}
    ), _ek_present AS MATERIALIZED (
      SELECT _ek_due._ek_id FROM _ek_due JOIN ${table.from} ON ${sameKey} WHERE ${matches}
    ), _ek_locked AS MATERIALIZED (
      SELECT ${keys}, ${table.name}.ctid AS _ek_at, _ek_due._ek_id FROM _ek_due JOIN ${table.from} ON ${sameKey} WHERE ${matches}
      ORDER BY _ek_due._ek_id LIMIT ${p.limit} FOR ${table.rowLock} OF ${table.name} SKIP LOCKED
    ), _ek_done AS (
      ${change({ from: '_ek_locked', where: table.sameRow('_ek_locked') })}
    ), _ek_reach AS MATERIALIZED (
      SELECT CASE WHEN ${atLimit} THEN (SELECT pg_catalog.max(_ek_id) FROM _ek_locked) ELSE (SELECT pg_catalog.max(_ek_id) FROM _ek_due) END AS _ek_id
    ), _ek_held AS MATERIALIZED (
      SELECT w._ek_id FROM _ek_due w JOIN _ek_present e ON e._ek_id ${eq} w._ek_id
      WHERE w.${reached} AND NOT EXISTS (SELECT FROM _ek_done d WHERE ${table.equal('d', 'w')})
    ), _ek_struck AS (
      DELETE FROM ${s}.stragglers x
      WHERE x.id ${eq} ANY (ARRAY(SELECT _ek_id FROM _ek_due WHERE ${reached} EXCEPT SELECT _ek_id FROM _ek_held)) RETURNING 1
    ), ${mayBeAway ? `${setAwayAsideSql(s, table)}, ` : ''}${checkpointSql(s, table, {
      cursor: `CASE WHEN NOT (${atLimit}) AND ${count('_ek_due')} ${less} ${looked} THEN ARRAY['0'::pg_catalog.text]
        ELSE (SELECT ARRAY[_ek_id::pg_catalog.text] FROM _ek_reach) END`,
      ended: 'false',
      scanned: 'SELECT pg_catalog.count(*) FROM _ek_struck',
      matched: `${countDone} ${plus} ${count('_ek_held')}`,
      done: doneUnless(s, movedSql(table, `NOT EXISTS (SELECT FROM _ek_due w WHERE ${table.equal('w', 'd')})`)),
      left: 'SELECT pg_catalog.count(*) FROM _ek_held',
      gone: `(SELECT pg_catalog.count(*) FROM _ek_struck) ${minus} ${countDone}${mayBeAway ? ` ${minus} (SELECT pg_catalog.count(*) FROM _ek_away)` : ''}`,
      still: stillSql(table),
    })}`
}
