import { z } from 'zod'
import type { VacuumState } from '../core/space/autovacuum.ts'
import type { Ask } from '../postgres/ask.ts'
import { statement } from '../postgres/statement.ts'
import { columnsOf, type WatchedTable, withParts } from './tables.ts'

/** Options of a table or partition come before the server's settings. */
const setting = (name: string) =>
  `coalesce((SELECT option_value FROM pg_catalog.pg_options_to_table(c.reloptions) WHERE option_name = '${name}'),
    pg_catalog.current_setting('${name}', true))`

/** A table turns it off with autovacuum_enabled = false. The server's setting must be on, too. */
const enabled = `pg_catalog.current_setting('autovacuum')::bool AND pg_catalog.current_setting('track_counts')::bool
  AND coalesce((SELECT option_value::bool FROM pg_catalog.pg_options_to_table(c.reloptions)
    WHERE option_name = 'autovacuum_enabled'), true)`

const readVacuumStatesSql = statement(
  'autovacuum',
  {
    number: z.number(),
    enabled: z.boolean(),
    base: z.number(),
    scaleFactor: z.number(),
    most: z.number().nullable(),
    rows: z.number(),
    dead: z.number(),
  },
  `${withParts}
    SELECT number, ${enabled} AS enabled, (${setting('autovacuum_vacuum_threshold')})::float8 AS base,
      (${setting('autovacuum_vacuum_scale_factor')})::float8 AS "scaleFactor",
      -- Not before Postgres 18, and -1 is none.
      (SELECT most FROM (SELECT (${setting('autovacuum_vacuum_max_threshold')})::float8 AS most) x WHERE most >= 0) AS most,
      greatest(c.reltuples, 0)::float8 AS rows, pg_catalog.pg_stat_get_dead_tuples(c.oid)::float8 AS dead
    FROM parts p JOIN pg_catalog.pg_class c ON c.oid = p.oid AND c.relkind <> 'p'`,
)

/** States of each table, or of its partitions, in the order of `tables`. Empty for a table that does not exist. */
export async function readVacuumStates(ask: Ask, tables: readonly WatchedTable[]): Promise<VacuumState[][]> {
  const rows = await ask(readVacuumStatesSql, columnsOf(tables))
  return tables.map((_, index) =>
    rows.filter(({ number }) => number === index + 1).map(({ number: _number, ...state }) => state),
  )
}
