import { z } from 'zod'
import type { Reading } from '../core/throttle/signal.ts'
import type { Ask } from '../postgres/ask.ts'
import { type RowOf, statement } from '../postgres/statement.ts'
import { mayNotSee, unknown } from './messages.ts'
import { columnsOf, keyOf, notThere, type WatchedTable, withParts } from './tables.ts'

const readVacuumsSql = statement(
  'vacuum',
  {
    number: z.number(),
    there: z.boolean(),
    running: z.number(),
    /** Vacuums in this database whose table this role may not see. */
    hidden: z.number(),
    role: z.string(),
  },
  `${withParts}, vacuums AS MATERIALIZED (
      SELECT pid, relid FROM pg_catalog.pg_stat_progress_vacuum WHERE datname = pg_catalog.current_database()
    )
    SELECT number, bool_and(p.oid IS NOT NULL) AS there, count(v.pid)::int AS running,
      (SELECT count(*)::int FROM vacuums WHERE relid IS NULL) AS hidden, current_user::text AS role
    FROM parts p
    LEFT JOIN pg_catalog.pg_class c ON c.oid = p.oid
    LEFT JOIN vacuums v ON v.relid IN (c.oid, c.reltoastrelid)
    GROUP BY number`,
)

/** 1 while the table or a partition of it is vacuumed, else 0. */
export async function vacuum(
  ask: Ask,
  tables: readonly WatchedTable[],
): Promise<Array<Reading & { readonly table: string }>> {
  if (tables.length === 0) return []
  const rows = await ask(readVacuumsSql, columnsOf(tables))
  return rows.flatMap((row) => {
    const table = tables[row.number - 1]
    return table ? { ...running(table, row), table: keyOf(table) } : []
  })
}

function running(table: WatchedTable, { there, running, hidden, role }: RowOf<typeof readVacuumsSql>): Reading {
  if (!there) return unknown('vacuum', notThere(table))
  if (running === 0 && hidden > 0)
    return unknown('vacuum', mayNotSee(role, 'which tables are vacuumed (pg_stat_progress_vacuum)'))
  return { signal: 'vacuum', value: running > 0 ? 1 : 0, detail: `table ${keyOf(table)}` }
}
