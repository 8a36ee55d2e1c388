import { quoteTableName } from '../core/sql/identifier.ts'

export interface WatchedTable {
  readonly schema: string
  readonly table: string
}

export function keyOf(table: WatchedTable): string {
  return quoteTableName(table)
}

/**
 * `watched`: the tables given as $1 and $2, numbered. `parts`: each of them with all its partitions. Reads the catalog
 * only: pg_partition_tree locks every partition, and behind an ALTER TABLE no replica would be sampled.
 */
export const withParts = `WITH RECURSIVE watched AS MATERIALIZED (
      SELECT w.number::int AS number, c.oid, c.relkind
      FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS w (schema, name, number)
      LEFT JOIN pg_catalog.pg_namespace n ON n.nspname = w.schema
      LEFT JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = w.name
    ), parts AS (
      SELECT number, oid, relkind FROM watched
      UNION ALL
      SELECT whole.number, part.oid, part.relkind FROM parts whole
      JOIN pg_catalog.pg_inherits i ON whole.relkind = 'p' AND i.inhparent = whole.oid
      JOIN pg_catalog.pg_class part ON part.oid = i.inhrelid
    )`

export function columnsOf(tables: readonly WatchedTable[]): [string[], string[]] {
  return [tables.map(({ schema }) => schema), tables.map(({ table }) => table)]
}

export function notThere(table: WatchedTable): string {
  return `there is no table ${keyOf(table)}: it was dropped or renamed`
}
