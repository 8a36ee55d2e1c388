import type { ClientBase } from 'pg'
import { z } from 'zod'
import { type Cursor, cursorSchema, type KeyShape } from '../../core/range/key.ts'
import { quoteTableName } from '../../core/sql/identifier.ts'
import { declared, jsonb, statement } from '../../postgres/statement.ts'
import { item, over, times } from '../batch/operators.ts'
import type { TableSql } from '../batch/table.ts'

/** Pages whose rows are looked up by key before a run is accepted. */
const pagesProbed = 200

/** A key column as the catalog has it now. */
export interface OrderedColumn extends KeyShape {
  readonly name: string
  /** As SQL writes it; null for the database's own, or if it has none. */
  readonly collationName: string | null
  /**
   * The version of the collation with which its indexes were built, by the catalog; then the version that compares now.
   */
  readonly recorded: string | null
  readonly actual: string | null
}

const readOrderSql = statement(
  'readOrder',
  {
    name: z.string(),
    attnum: z.number(),
    typid: z.string(),
    typmod: z.number(),
    collation: z.string(),
    collationName: z.string().nullable(),
    recorded: z.string().nullable(),
    actual: z.string().nullable(),
    parts: jsonb(z.record(z.string(), z.string().nullable())).nullable(),
  },
  // The parts of a collation have other names in each release, and the database's own collation is in pg_database.
  `WITH keys AS MATERIALIZED (
       SELECT a.attname AS name, a.attnum, a.atttypid, a.atttypmod, a.attcollation, k.n
       FROM pg_catalog.unnest($2::pg_catalog.text[]) WITH ORDINALITY AS k (name, n)
       JOIN pg_catalog.pg_attribute a ON a.attrelid OPERATOR(pg_catalog.=) $1::pg_catalog.oid
         AND a.attname OPERATOR(pg_catalog.=) k.name::pg_catalog.name AND NOT a.attisdropped
     ), used AS MATERIALIZED (
       SELECT c.* FROM pg_catalog.pg_collation c
       WHERE c.oid OPERATOR(pg_catalog.=) ANY (ARRAY(SELECT attcollation FROM keys))
     ), defined AS (
       SELECT c.oid, pg_catalog.format('%I.%I', n.nspname, c.collname) AS name, pg_catalog.to_jsonb(c) AS definition
       FROM used c JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.collnamespace
       WHERE c.collprovider OPERATOR(pg_catalog.<>) 'd'
       UNION ALL
       SELECT c.oid, NULL, pg_catalog.to_jsonb(d) FROM used c, pg_catalog.pg_database d
       WHERE c.collprovider OPERATOR(pg_catalog.=) 'd' AND d.datname OPERATOR(pg_catalog.=) pg_catalog.current_database()
     ), collations AS (
       SELECT d.oid, d.name, pg_catalog.pg_collation_actual_version(d.oid) AS actual,
         pg_catalog.jsonb_object_agg(pg_catalog.regexp_replace(e.key, '^(dat|coll)', ''), e.value) AS parts
       FROM defined d, LATERAL pg_catalog.jsonb_each_text(d.definition) AS e
       WHERE e.key OPERATOR(pg_catalog.~) '^(dat|coll)(locprovider|provider|collate|ctype|locale|iculocale|icurules|collversion|version|isdeterministic)$'
       GROUP BY d.oid, d.name
     )
     SELECT k.name, k.attnum, k.atttypid::pg_catalog.text AS typid, k.atttypmod AS typmod,
       k.attcollation::pg_catalog.text AS collation, c.name AS "collationName",
       coalesce(c.parts ${item} 'collversion', c.parts ${item} 'version') AS recorded, c.actual, c.parts
     FROM keys k LEFT JOIN collations c ON c.oid OPERATOR(pg_catalog.=) k.attcollation
     ORDER BY k.n`,
)

/** Columns of a table in the order of these names. A name that the table does not have is left out. */
export async function readOrder(client: ClientBase, oid: string, names: readonly string[]): Promise<OrderedColumn[]> {
  const rows = await readOrderSql.rows({ db: client }, [oid, names])
  return rows.map(({ parts, ...column }) => ({ ...column, locale: localeOf(parts, column.actual) }))
}

/** Null for an order by code points, which never changes. */
function localeOf(parts: Readonly<Record<string, string | null>> | null, actual: string | null): string | null {
  if (parts === null) return null
  const provider = parts.locprovider ?? parts.provider ?? 'c'
  const byCodePoints = provider === 'b' || (provider === 'c' && ['C', 'POSIX'].includes(parts.collate ?? ''))
  return byCodePoints ? null : JSON.stringify([...Object.entries(parts).sort(), ['actual', actual]])
}

export function shapeOf({ attnum, typid, typmod, collation, locale }: OrderedColumn): KeyShape {
  return { attnum, typid, typmod, collation, locale }
}

/**
 * Key columns whose collation orders otherwise than when their indexes were built, by Postgres' own record. In words.
 */
export function checkCollations(columns: readonly OrderedColumn[], table: string): string[] {
  return columns
    .filter(
      ({ recorded, actual, locale }) => locale !== null && recorded !== null && actual !== null && recorded !== actual,
    )
    .map(({ name, collationName, recorded, actual }) => {
      const refresh = collationName
        ? `ALTER COLLATION ${collationName} REFRESH VERSION`
        : 'ALTER DATABASE … REFRESH COLLATION VERSION'
      return `Key column ${name} has a collation of version ${recorded}, and the system now compares by version ${actual}: its index may be out of order, and rows would be missed. REINDEX TABLE CONCURRENTLY ${table}, then ${refresh}.`
    })
}

const unfindableRows = declared('findUnfindable', { key: cursorSchema })

/**
 * The key of a row that exists and that the index does not find, among those of some pages; null if all are found. The
 * index finds every key if, and only if, it is in order.
 */
export async function findUnfindable(client: ClientBase, table: TableSql): Promise<Cursor | null> {
  const found = await client.query(
    `SELECT ${table.keyText} AS key FROM ${table.from}
     TABLESAMPLE SYSTEM (least('100'::pg_catalog.float8, (('100'::pg_catalog.float8 ${times} $1::int) ${times} pg_catalog.current_setting('block_size')::int)
       ${over} greatest(1, pg_catalog.pg_relation_size($2::pg_catalog.regclass))::pg_catalog.float8))
     WHERE ${table.isUnfindable} LIMIT 1`,
    [pagesProbed, quoteTableName(table.place)],
  )
  return unfindableRows.readFirst(found)?.key ?? null
}

/** The finding on an index that is out of order. */
export const outOfOrder =
  'its index is out of order: it does not find a row that is there. The collation has changed under it, or the index is damaged. REINDEX it, and start a new run.'
