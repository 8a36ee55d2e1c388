import { Problem } from '../../../core/errors.ts'
import type { Leaf, Target } from '../../../core/range/key.ts'
import { type CompiledSql, compileSql, type Sql } from '../../../core/sql/template.ts'
import { batchParameters, checkpointSql, fenceSql, firstJobParameter } from '../../batch/checkpoint.ts'
import { concat, eq, more } from '../../batch/operators.ts'
import { type TableSql, tableSql } from '../../batch/table.ts'
import { type Bounds, matched, windowEnd, windowSql, writeLeftoverSql, writeStragglersSql } from '../../batch/window.ts'
import { outOfOrder } from '../../inspect/order.ts'
import { pagesEnd, pagesSql } from '../../ranges/pages.ts'
import { countDone, doneInWindow, stillSql } from './done-rows.ts'
import type { RowChange } from './row-change.ts'
import { stragglersSql } from './sweep.ts'
import { changeWindowSql } from './window-change.ts'

const p = batchParameters

/** The statements of a job whose batches are one statement each: it commits whole, or nothing of it has happened. */
export interface BatchStatements {
  /** Changes the rows of the next window. */
  window(bounds: Bounds): CompiledSql
  /** Changes the next stragglers that are due. A wide look passes by many that are held. */
  stragglers(wide?: boolean): CompiledSql
  /**
   * Reads the next window and records matching rows that are not in quarantine, row by row or as a slice. Changes none
   * of them.
   */
  residual(bounds: Bounds): CompiledSql
  /**
   * The same for the rows of the next pages, whatever their keys. If the key is ordered by a locale, each row is also
   * looked up by its key, and a row that its index does not find ends the run.
   */
  pages(): CompiledSql
  /** Counts which of the keys in `$1` (JSON, arrays of text) match now; null for a job without a predicate. */
  stillMatching(): CompiledSql | null
}

/** A kind's change, given the table, whether a row matches, and the number of the first free parameter. */
export type WriteChange = (
  table: TableSql,
  matches: string,
  firstParameter: number,
) => {
  readonly change: RowChange
  /** Values of its parameters. */
  readonly values: readonly unknown[]
}

/** Windows are of a leaf if the table is partitioned; stragglers are of the whole table. */
export function batchStatements(
  { s, target, leaf }: { readonly s: string; readonly target: Target; readonly leaf: Leaf | null },
  predicate: Sql | null,
  write: WriteChange,
): BatchStatements {
  const table = tableSql(target, leaf)
  const where = predicate && compileSql(predicate, firstJobParameter)
  // The line ends before our bracket: the author's SQL may end in a comment.
  const matches = where ? `((${where.text}\n) IS TRUE)` : 'true'
  const whereValues = where?.values ?? []
  const written = write(table, where ? matches : 'false', firstJobParameter + whereValues.length)
  const { change } = written
  const values = [...whereValues, ...written.values]
  const inQuarantine = `SELECT FROM ${s}.quarantine q WHERE q.run_id ${eq} ${p.runId} AND q.digest ${eq} ${s}.key_digest(${table.keyArray('w')})`
  const statements: BatchStatements = {
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
      if (!predicate) return null
      const check = compileSql(predicate, 2)
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

/** A ctid names one row in each partition, so there is no window over all of them. */
function refuseWhole(): never {
  throw new Problem(
    'conflict',
    'An older release planned the ranges of this run over its partitioned table as a whole; now each partition has its own. What was done so far stays done. Cancel this run and start a new one.',
  )
}

/** Builds each statement once: for a small batch, putting the text together costs as much as sending it. */
function perBounds(write: (bounds: Bounds) => CompiledSql): (bounds: Bounds) => CompiledSql {
  const written = new Map<number, CompiledSql>()
  return (bounds) => {
    const which = Number(bounds.cursor) + 2 * Number(bounds.upper)
    const statement = written.get(which) ?? write(bounds)
    written.set(which, statement)
    return statement
  }
}
