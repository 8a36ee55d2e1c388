import type { ClientBase } from 'pg'
import { z } from 'zod'
import { type Cursor, cursorSchema } from '../../core/range/key.ts'
import { quoteTableName } from '../../core/sql/identifier.ts'
import { declared } from '../../postgres/statement.ts'
import { atLeast, eq, less, minus, more, over, rest, times } from '../batch/operators.ts'
import type { TableSql } from '../batch/table.ts'

const sampledPages = 500
/** If the slice turns out to be a small part of the table. */
const moreSampledPages = 5000
const minPagesPerPart = 5000
/** With fewer values in a part, equal parts would be chance. */
const minPerPart = { histogram: 2, sample: 20 } as const

/** A part of the key space with both ends outside; null is unbounded. */
export interface KeyInterval {
  readonly lower: Cursor | null
  readonly upper: Cursor | null
}

/**
 * Keys that split a slice into so many parts of about the same number of rows, ascending. Uses the histogram of
 * ANALYZE, which costs nothing. If there is none (keys of several columns or of text, a new table), it uses a sample of
 * the table's pages. Empty if neither tells.
 */
export async function findSplitKeys(
  client: ClientBase,
  table: TableSql,
  slice: KeyInterval,
  parts: number,
): Promise<Cursor[]> {
  if (parts < 2) return []
  const keys = await histogramKeys(client, table, slice, parts)
  if (keys.length > 0) return keys
  const sampled = await sampledKeys(client, table, slice, parts, sampledPages)
  return sampled.length > 0 ? sampled : sampledKeys(client, table, slice, parts, moreSampledPages)
}

const pagesRows = declared('tablePages', { pages: z.number() })

/** Page numbers that split the rest of a file into so many equal parts; none if that is not worth it. */
export async function findSplitPages(
  client: ClientBase,
  table: TableSql,
  slice: KeyInterval,
  parts: number,
): Promise<Cursor[]> {
  const found = await client.query(
    `SELECT (pg_catalog.pg_relation_size(${table.regclass}) ${over} pg_catalog.current_setting('block_size')::bigint)::pg_catalog.float8 AS pages`,
  )
  const from = Number(slice.lower?.[0] ?? 0)
  const each = Math.floor((Number(slice.upper?.[0] ?? pagesRows.readOne(found).pages) - from) / parts)
  if (each < minPagesPerPart) return []
  return Array.from({ length: parts - 1 }, (_, index) => [String(from + each * (index + 1))])
}

const keysAheadRows = declared('keysAhead', { key: cursorSchema })

/**
 * The keys at every `rows` rows ahead in a slice, `most` of them or as many as it has: exact, by reading up to there.
 */
export async function keysAhead(
  client: ClientBase,
  table: TableSql,
  slice: KeyInterval,
  rows: number,
  most = 1,
): Promise<Cursor[]> {
  const names = table.keys.map((key, index) => `${key} AS ${table.keyNames[index]}`)
  const found = await client.query(
    `SELECT ${table.keyArray('ahead')} AS key FROM (
       SELECT ${names.join(', ')}, pg_catalog.row_number() OVER (ORDER BY ${table.keys.join(', ')}) AS n
       FROM ${table.from} WHERE ${insideSql(table, table.keys, slice)}
       ORDER BY ${table.keys.join(', ')} LIMIT $3::bigint ${times} $4::int
     ) AS ahead WHERE (n ${rest} $3::bigint) ${eq} 0 ORDER BY n`,
    [slice.lower, slice.upper, rows, most],
  )
  return keysAheadRows.read(found).map(({ key }) => key)
}

const lastKeyRows = declared('lastKey', { key: cursorSchema })

/** The largest key at the moment; null if there is no row. */
export async function lastKey(client: ClientBase, table: TableSql): Promise<Cursor | null> {
  const found = await client.query(
    `SELECT ${table.keyText} AS key FROM ${table.from} ORDER BY ${table.keys.map((key) => `${key} DESC`).join(', ')} LIMIT 1`,
  )
  return lastKeyRows.readFirst(found)?.key ?? null
}

async function histogramKeys(
  client: ClientBase,
  table: TableSql,
  slice: KeyInterval,
  parts: number,
): Promise<Cursor[]> {
  const [only, second] = table.columns
  if (!only || second) return []
  // A column with a collation would be compared here under another one.
  const bounds = `SELECT pg_catalog.unnest(s.histogram_bounds::pg_catalog.text::pg_catalog.text[])::${only.type} AS _ek_k1
    FROM pg_catalog.pg_stats s JOIN pg_catalog.pg_attribute a
      ON a.attrelid ${eq} $5::pg_catalog.regclass AND a.attname ${eq} s.attname AND a.attcollation ${eq} 0::pg_catalog.oid
    WHERE s.schemaname ${eq} $6::pg_catalog.name AND s.tablename ${eq} $7::pg_catalog.name AND s.attname ${eq} $8::pg_catalog.name AND NOT s.inherited`
  const { schema, table: name } = table.place
  return partEnds(
    client,
    table,
    `SELECT _ek_k1 FROM (${bounds}) AS bounds WHERE ${insideSql(table, ['_ek_k1'], slice)}`,
    [slice.lower, slice.upper, parts, minPerPart.histogram, quoteTableName(table.place), schema, name, only.name],
  )
}

async function sampledKeys(
  client: ClientBase,
  table: TableSql,
  slice: KeyInterval,
  parts: number,
  pages: number,
): Promise<Cursor[]> {
  const names = table.keys.map((key, index) => `${key} AS ${table.keyNames[index]}`)
  return partEnds(
    client,
    table,
    `SELECT ${names.join(', ')} FROM ${table.from}
     TABLESAMPLE SYSTEM (least('100'::pg_catalog.float8, (('100'::pg_catalog.float8 ${times} $5::int) ${times} pg_catalog.current_setting('block_size')::int)
       ${over} greatest(1, pg_catalog.pg_relation_size($6::pg_catalog.regclass))::pg_catalog.float8))
     WHERE ${insideSql(table, table.keys, slice)}`,
    [slice.lower, slice.upper, parts, minPerPart.sample, pages, quoteTableName(table.place)],
  )
}

const partEndsRows = declared('partEnds', { key: cursorSchema })

/** The last key of each of `$3` equal parts of a statement's keys, except the last part. */
async function partEnds(client: ClientBase, table: TableSql, keys: string, values: unknown[]): Promise<Cursor[]> {
  const found = await client.query(
    `SELECT ${table.keyArray('numbered')} AS key
     FROM (SELECT *, pg_catalog.row_number() OVER (ORDER BY ${table.keyNames.join(', ')}) AS n, pg_catalog.count(*) OVER () AS total
       FROM (${keys}) AS given) AS numbered
     WHERE total ${atLeast} ($3::int ${times} $4::int) AND n ${less} total
       AND ((n ${times} $3::int) ${over} total) ${more} (((n ${minus} 1) ${times} $3::int) ${over} total) ORDER BY n`,
    values,
  )
  return partEndsRows.read(found).map(({ key }) => key)
}

/**
 * Between `$1` and `$2`, for the keys of the table or columns that stand for them. A missing bound adds no condition on
 * the key: with one that is true for null, a generic plan would read the index from its beginning.
 */
function insideSql(table: TableSql, keys: readonly string[], { lower, upper }: KeyInterval): string {
  const above = lower
    ? table.compare(keys, 'more', table.typedKeys('$1::pg_catalog.text[]'))
    : '$1::pg_catalog.text[] IS NULL'
  const below = upper
    ? table.compare(keys, 'less', table.typedKeys('$2::pg_catalog.text[]'))
    : '$2::pg_catalog.text[] IS NULL'
  return `${above} AND ${below}`
}
