import { eq, less, more, plus } from '../../batch/operators.ts'
import type { TableSql } from '../../batch/table.ts'
import { matched } from '../../batch/window.ts'
import type { RowChange } from './row-change.ts'

/**
 * Changes the rows of the window, in two steps.
 *
 * `_ek_free` takes the rows that no session can be holding: the tuple's xmax, which names the transaction that last
 * locked or changed it, is older than every transaction that still runs. It locks and changes a row at once, for two
 * thirds of the time and of the WAL that locking it first costs. If another session takes the row between the read and
 * the change (microseconds, and as long as `set` and BEFORE triggers take for it), the batch waits for it, for
 * `lock_timeout` at most.
 *
 * `_ek_locked` takes the rest, if there is any. FOR … SKIP LOCKED tells whether a row is held or only looks so.
 *
 * Rows are found again by an array of their ctids, which Postgres sorts and reads in the order of the file. That takes
 * a third less time than a join, and avoids the random reads of random keys. A row that changed between our snapshot
 * and our lock is passed by, or, where Postgres follows it to its new version, checked once more: so the predicate is
 * repeated here. A row that matched and is not in `_ek_done` is recorded as a straggler.
 */
export function changeWindowSql(table: TableSql, matches: string, change: RowChange): string {
  const matching = 'SELECT w._ek_at FROM _ek_window w WHERE w._ek_matches'
  const left = `${matching} AND NOT EXISTS (SELECT FROM _ek_free f WHERE ${table.equal('f', 'w')})`
  return `_ek_free AS (
    ${change({ where: `${at(table, matching)} AND ${matches} AND ${freeSql(table)}` })}
  ), _ek_locked AS MATERIALIZED (
    SELECT ${table.name}.ctid AS _ek_at FROM ${table.from}
    WHERE ${matched} ${more} (SELECT pg_catalog.count(*) FROM _ek_free) AND ${at(table, left)} AND ${matches}
    FOR ${table.rowLock} OF ${table.name} SKIP LOCKED
  ), _ek_changed AS (
    ${change({ where: at(table, 'SELECT _ek_at FROM _ek_locked') })}
  ), _ek_done AS MATERIALIZED (SELECT * FROM _ek_free UNION ALL SELECT * FROM _ek_changed)`
}

function at(table: TableSql, places: string): string {
  return `${table.name}.ctid ${eq} ANY (ARRAY(${places}))`
}

/** More multixacts than can be made while one statement runs: ages grow meanwhile, and the bound is read once. */
const newMultixacts = 1_000_000

/**
 * A tuple without an xmax counts as older than any other. If several sessions hold a row, its xmax is the number of a
 * multixact, which SQL cannot tell from a transaction's. So no number that could be a multixact of this table counts as
 * free.
 */
function freeSql(table: TableSql): string {
  const oldestRunning = 'pg_catalog.pg_snapshot_xmin(pg_catalog.pg_current_snapshot())::pg_catalog.xid'
  const oldestMultixact = `SELECT pg_catalog.mxid_age(c.relminmxid)::bigint ${plus} '${newMultixacts}'::bigint FROM pg_catalog.pg_class c WHERE c.oid ${eq} ${table.regclass}`
  const age = `pg_catalog.mxid_age(${table.name}.xmax)`
  return `pg_catalog.age(${table.name}.xmax) ${more} (SELECT pg_catalog.age(${oldestRunning}))
    AND (${age} ${less} 1 OR ${age} ${more} (${oldestMultixact}))`
}
