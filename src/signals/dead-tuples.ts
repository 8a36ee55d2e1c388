import { z } from 'zod'
import { type VacuumState, vacuumOutlook } from '../core/space/autovacuum.ts'
import type { Reading } from '../core/throttle/signal.ts'
import type { Ask } from '../postgres/ask.ts'
import { type RowOf, statement } from '../postgres/statement.ts'
import { readVacuumStates } from './autovacuum.ts'
import { unknown } from './messages.ts'
import { columnsOf, keyOf, notThere, type WatchedTable, withParts } from './tables.ts'

/**
 * Uses the functions behind pg_stat_all_tables, because that view computes all tables to return one. After a crash the
 * counters start at zero. The count of the last VACUUM or ANALYZE replaces the live ones then.
 */
const readTuplesSql = statement(
  'dead-tuples',
  { number: z.number(), there: z.boolean(), live: z.number(), dead: z.number(), counted: z.boolean() },
  `${withParts}
    SELECT number, bool_and(p.oid IS NOT NULL) AS there,
      coalesce(sum(greatest(pg_catalog.pg_stat_get_live_tuples(p.oid), c.reltuples, 0)), 0)::float8 AS live,
      coalesce(sum(pg_catalog.pg_stat_get_dead_tuples(p.oid)), 0)::float8 AS dead,
      coalesce(bool_or(c.reltuples >= 0), false) AS counted
    FROM parts p LEFT JOIN pg_catalog.pg_class c ON c.oid = p.oid AND c.relkind <> 'p'
    GROUP BY number`,
)

type Tuples = RowOf<typeof readTuplesSql>

/** Dead tuples as a part of a table, with all its partitions. */
export async function deadTuples(
  ask: Ask,
  tables: readonly WatchedTable[],
): Promise<Array<Reading & { readonly table: string }>> {
  if (tables.length === 0) return []
  const rows = await ask(readTuplesSql, columnsOf(tables))
  const states = await readVacuumStates(ask, tables)
  return rows.flatMap((row) => {
    const table = tables[row.number - 1]
    return table ? { ...ratio(table, row, states[row.number - 1] ?? []), table: keyOf(table) } : []
  })
}

function ratio(table: WatchedTable, { there, live, dead, counted }: Tuples, states: readonly VacuumState[]): Reading {
  const name = keyOf(table)
  if (!there) return unknown('dead-tuples', notThere(table))
  if (live + dead > 0 || counted) {
    const value = dead === 0 ? 0 : dead / (live + dead)
    return { signal: 'dead-tuples', value, detail: `table ${name}`, rows: dead, outlook: vacuumOutlook(name, states) }
  }
  return unknown('dead-tuples', `the row count of ${name} is unknown: ANALYZE ${name}`)
}
