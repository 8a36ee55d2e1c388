import { Problem } from '../../../core/errors.ts'
import type { ResolvedJob } from '../../../core/job/job.ts'
import type { Leaf, Target } from '../../../core/range/key.ts'
import { quoteIdentifier } from '../../../core/sql/identifier.ts'
import { type CompiledSql, compileSql } from '../../../core/sql/template.ts'
import { batchParameters, checkpointSql, fencePassed, fenceSql, firstJobParameter } from '../../batch/checkpoint.ts'
import { dueSql } from '../../batch/leave.ts'
import { atLeast, atMost, concat, eq, less, minus, more, plus, times } from '../../batch/operators.ts'
import { setAwayAsideSql } from '../../batch/quarantine.ts'
import { type TableSql, tableSql } from '../../batch/table.ts'
import { type Bounds, matched, windowEnd, windowSql, writeLeftoverSql, writeStragglersSql } from '../../batch/window.ts'
import { outOfOrder } from '../../inspect/order.ts'
import { pagesEnd, pagesSql } from '../../ranges/pages.ts'

const p = batchParameters

/** A batch's statement and the job's values for it, which follow the batch parameters. */
export type BatchStatement = CompiledSql

/** The statements of a job that sets columns. Each is one statement: it commits whole, or nothing of it has happened. */
export interface UpdateStatements {
  /** Changes the rows of the next window. */
  window(bounds: Bounds): BatchStatement
  /** Changes the next stragglers that are due; a wide look passes by many that are held. */
  stragglers(wide?: boolean): BatchStatement
  /** Reads the next window and writes down what still matches and is not in quarantine, row by row or as a slice; changes nothing. */
  residual(bounds: Bounds): BatchStatement
  /**
   * The same for the rows of the next pages, whatever their keys. Where the order of the key is a locale's, each is looked up by its
   * key besides, and one that its index does not find ends the run.
   */
  pages(): BatchStatement
  /** Which of the keys in `$1` (JSON, arrays of text) match now; null for a job without a predicate. */
  stillMatching(): CompiledSql | null
}

/** Windows are of a leaf where the table is partitioned; stragglers are of the whole table. */
export function updateStatements(
  s: string,
  target: Target,
  job: ResolvedJob,
  leaf: Leaf | null = null,
): UpdateStatements {
  const table = tableSql(target, leaf)
  const where = job.where && compileSql(job.where, firstJobParameter)
  // The line ends before our bracket does: SQL of the author's may end in a comment.
  const matches = where ? `((${where.text}\n) IS TRUE)` : 'true'
  const whereValues = where?.values ?? []
  const values = [...whereValues]
  const assignments = job.set.map(([column, expression]) => {
    const compiled = compileSql(expression, firstJobParameter + values.length)
    values.push(...compiled.values)
    return `${quoteIdentifier(column)} = (${compiled.text}\n)`
  })
  const inQuarantine = `SELECT FROM ${s}.quarantine q WHERE q.run_id ${eq} ${p.runId} AND q.digest ${eq} ${s}.key_digest(${table.keyArray('w')})`
  const change = changeSql(table, where ? matches : 'false', assignments.join(', '))
  const statements: UpdateStatements = {
    window: (bounds) => ({
      values,
      text: `WITH ${fenceSql(s, table, 'running')}, ${windowSql(table, matches, bounds)}, ${changeWindowSql(table, matches, change)},
        ${writeStragglersSql(s, table, `${matched} ${more} ${countDone} AND NOT EXISTS (SELECT FROM _ek_done d WHERE ${table.equal('d', 'w')})`)},
        ${checkpointSql(s, table, {
          ...windowEnd(table),
          done: doneInWindow(s, table),
          left: 'SELECT pg_catalog.count(*) FROM _ek_left',
          gone: '0',
          still: stillSql(table),
        })}`,
    }),
    stragglers: (wide = false) => ({
      values,
      text: stragglersSql(s, table, matches, change, { mayBeAway: target.partitioned && !where, wide }),
    }),
    residual: (bounds) => ({
      values: whereValues,
      text: `WITH ${fenceSql(s, table, 'verifying')}, ${windowSql(table, where ? matches : 'false', bounds)},
        ${writeLeftoverSql(s, table, inQuarantine)},
        ${writeStragglersSql(s, table, `NOT (SELECT _ek_is_full FROM _ek_full) AND NOT EXISTS (${inQuarantine})`)},
        ${checkpointSql(s, table, {
          ...windowEnd(table),
          done: '0',
          left: `CASE WHEN (SELECT _ek_is_full FROM _ek_full) THEN ${matched} ELSE (SELECT pg_catalog.count(*) FROM _ek_left) END`,
          gone: '0',
          still: "'[]'::pg_catalog.jsonb",
        })}`,
    }),
    pages: () => ({
      values: whereValues,
      text: `WITH ${fenceSql(s, table, 'verifying')}, ${pagesSql(s, table, where ? matches : 'false', target.byLocale)},
        ${writeStragglersSql(s, table, 'true')},
        ${checkpointSql(s, table, {
          ...pagesEnd,
          done: `coalesce(${s}.halt((SELECT ('Row '::pg_catalog.text ${concat} pg_catalog.array_to_json(${table.keyArray('w')})::pg_catalog.text) ${concat} ': ${outOfOrder}'::pg_catalog.text FROM _ek_window w WHERE w._ek_lost LIMIT 1)), 0)`,
          left: 'SELECT pg_catalog.count(*) FROM _ek_left',
          gone: '0',
          still: "'[]'::pg_catalog.jsonb",
        })}`,
    }),
    stillMatching() {
      if (!job.where) return null
      const check = compileSql(job.where, 2)
      return {
        values: check.values,
        text: `SELECT pg_catalog.count(*)::int AS count FROM ${table.from} WHERE ((${check.text}\n) IS TRUE)
          AND EXISTS (SELECT FROM pg_catalog.jsonb_array_elements($1::pg_catalog.jsonb) AS _ek_given (_ek_key)
            WHERE ${table.sameKey(table.keys, table.jsonKeys('_ek_given._ek_key'))})`,
      }
    },
  }
  if (target.partitioned && !leaf)
    return { ...statements, window: refuseWhole, residual: refuseWhole, pages: refuseWhole }
  const pages = statements.pages()
  return {
    ...statements,
    window: perBounds(statements.window),
    residual: perBounds(statements.residual),
    pages: () => pages,
  }
}

/** A ctid names one row in each partition: there is no window over all of them. */
function refuseWhole(): never {
  throw new Problem(
    'conflict',
    'The ranges of this run are of a partitioned table as a whole, as an older release cut them; now each partition has its own. What was done so far stays done. Cancel this run and start a new one.',
  )
}

/** Writes each statement once: for a small batch, putting the text together costs as much as sending it. */
function perBounds(write: (bounds: Bounds) => BatchStatement): (bounds: Bounds) => BatchStatement {
  const written = new Map<number, BatchStatement>()
  return (bounds) => {
    const which = Number(bounds.cursor) + 2 * Number(bounds.upper)
    const statement = written.get(which) ?? write(bounds)
    written.set(which, statement)
    return statement
  }
}

/**
 * Changes the rows of the window, in two steps.
 *
 * `_ek_free` takes those that nobody can be holding: the tuple's xmax, which names whoever last locked or changed it, is
 * older than every transaction that still runs. It locks and changes a row at once, for two thirds of the time and of the
 * WAL that a lock beforehand costs. Somebody who takes the row between the look and the change (microseconds, and as
 * long as `set` and BEFORE triggers take for it) is waited for, for `lock_timeout` at most.
 *
 * `_ek_locked` takes the rest, if there is any: whether they are held or only look so, FOR … SKIP LOCKED tells.
 *
 * Rows are found again by an array of their ctids, which Postgres sorts and reads in the order of the file: a third less
 * time than a join, and none of the jumping about that random keys would cost. One that somebody changed between our snapshot
 * and our lock is passed by, or, where Postgres follows it to its new version, looked at once more: so the predicate
 * stands here again. What matched and is not in `_ek_done` is written down as a straggler.
 */
function changeWindowSql(table: TableSql, matches: string, change: ChangeSql): string {
  const matching = 'SELECT w._ek_at FROM _ek_window w WHERE w._ek_matches'
  const left = `${matching} AND NOT EXISTS (SELECT FROM _ek_free f WHERE ${table.equal('f', 'w')})`
  return `_ek_free AS (
    ${change(`WHERE ${at(table, matching)} AND ${matches} AND ${freeSql(table)}`)}
  ), _ek_locked AS MATERIALIZED (
    SELECT ${table.name}.ctid AS _ek_at FROM ${table.from}
    WHERE ${matched} ${more} (SELECT pg_catalog.count(*) FROM _ek_free) AND ${at(table, left)} AND ${matches}
    FOR ${table.rowLock} OF ${table.name} SKIP LOCKED
  ), _ek_changed AS (
    ${change(`WHERE ${at(table, 'SELECT _ek_at FROM _ek_locked')}`)}
  ), _ek_done AS MATERIALIZED (SELECT * FROM _ek_free UNION ALL SELECT * FROM _ek_changed)`
}

function at(table: TableSql, places: string): string {
  return `${table.name}.ctid ${eq} ANY (ARRAY(${places}))`
}

/** More multixacts than can be made while one statement runs: ages grow meanwhile, and the bound is read once. */
const newMultixacts = 1_000_000

/**
 * A tuple without an xmax counts as older than any other. Where several sessions hold a row, its xmax is the number of a
 * multixact, of which there is no telling in SQL: so every number that could be one of this table's is none that is free.
 */
function freeSql(table: TableSql): string {
  const oldestRunning = 'pg_catalog.pg_snapshot_xmin(pg_catalog.pg_current_snapshot())::pg_catalog.xid'
  const oldestMultixact = `SELECT pg_catalog.mxid_age(c.relminmxid)::bigint ${plus} '${newMultixacts}'::bigint FROM pg_catalog.pg_class c WHERE c.oid ${eq} ${table.regclass}`
  const age = `pg_catalog.mxid_age(${table.name}.xmax)`
  return `pg_catalog.age(${table.name}.xmax) ${more} (SELECT pg_catalog.age(${oldestRunning}))
    AND (${age} ${less} 1 OR ${age} ${more} (${oldestMultixact}))`
}

/** The change of those rows that the end of the statement picks. */
type ChangeSql = (pick: string) => string

/** A row that matches even after the change is reported: its run would never end. */
function changeSql(table: TableSql, matchesStill: string, assignments: string): ChangeSql {
  const keys = table.keys.map((key, index) => `${key} AS ${table.keyNames[index]}`)
  return (pick) =>
    `UPDATE ${table.from} SET ${assignments} ${pick} RETURNING ${keys.join(', ')}, ${matchesStill} AS _ek_matches_still`
}

const countDone = '(SELECT pg_catalog.count(*) FROM _ek_done)'

/** In windows of so few rows each key is looked for; in larger ones that would be felt. */
const fewRows = 100

/**
 * The number of rows that were changed; the statement ends, and all that it has done, where one has moved out of the window. One that
 * moves within a large one does no harm: the window is passed as a whole.
 */
function doneInWindow(s: string, table: TableSql): string {
  const keysOf = (relation: string) => table.keyNames.map((name) => `${relation}.${name}`)
  const end = (order: string) =>
    `(SELECT ${table.keyNames.join(', ')} FROM _ek_window ORDER BY ${table.keyNames.map((name) => `${name} ${order}`).join(', ')} LIMIT 1)`
  const ends = `, ${end('ASC')} AS first, ${end('DESC')} AS last`
  const outside = ['first', 'last'].map((edge) =>
    table.compare(keysOf('d'), edge === 'first' ? 'less' : 'more', keysOf(edge)),
  )
  return doneUnless(
    s,
    `CASE WHEN ${p.limit} ${atMost} ${fewRows} THEN ${movedSql(table, `NOT EXISTS (SELECT FROM _ek_window w WHERE ${table.equal('w', 'd')})`)}
      ELSE ${movedSql(table, outside.join(' OR '), ends)} END`,
  )
}

function doneUnless(s: string, moved: string): string {
  const problem = `('Changing a row has moved its key, which is '::pg_catalog.text ${concat} ${moved}) ${concat} '${keyMoved}'::pg_catalog.text`
  return `coalesce(${s}.halt(${problem}), ${countDone})`
}

/** The key of a row that was changed and for which the condition is true; null where there is none. */
function movedSql(table: TableSql, condition: string, beside = ''): string {
  return `(SELECT pg_catalog.array_to_json(${table.keyArray('d')})::pg_catalog.text FROM _ek_done d${beside} WHERE ${condition} LIMIT 1)`
}

const keyMoved =
  ' now: a trigger does that. A row whose key moves can be done twice, or never. Nothing of this batch was written. Keep the trigger from changing the key, or use a key that stays, and start a new run.'

/** Up to three keys of rows that match after they were changed. */
function stillSql(table: TableSql): string {
  return `(SELECT coalesce(pg_catalog.jsonb_agg(${table.keyArray('d')}), '[]')
    FROM (SELECT * FROM _ek_done WHERE _ek_matches_still LIMIT 3) AS d)`
}

/** How many stragglers a wide look reads for one that it may change. */
const wideLook = 20

/**
 * The next stragglers of a sweep: found by key, locked if they are free now, changed, and struck off in the same statement.
 * One that is gone or does not match is struck off as gone. One that is still held is passed by and nothing is written of
 * it: there may be a million of them, and what is written as long as their holder's transaction lasts cannot be vacuumed. A
 * wide look passes by many of them in one batch and changes no more rows than another.
 *
 * The cursor is the id of the last straggler passed, and `0` at the end of a sweep. They are struck off by an array of their
 * ids: a join would be planned for a tenth of all stragglers, whatever the limit, and read the table of them.
 */
function stragglersSql(
  s: string,
  table: TableSql,
  matches: string,
  change: ChangeSql,
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
      ${change(`FROM _ek_locked WHERE ${table.sameRow('_ek_locked')}`)}
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
