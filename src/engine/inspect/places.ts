import type { ClientBase } from 'pg'
import { z } from 'zod'
import { classifyError, describeFault, recoveryFrom } from '../../core/fault.ts'
import { type Cursor, cursorSchema, type Leaf, type Target } from '../../core/range/key.ts'
import type { KeyRange } from '../../core/range/range.ts'
import { compileSql } from '../../core/sql/template.ts'
import { declared, type RowOf, statement } from '../../postgres/statement.ts'
import { over, times } from '../batch/operators.ts'
import { rolledBack } from '../batch/savepoint.ts'
import { tableSql } from '../batch/table.ts'
import type { ResolvedJob } from '../kinds/kind.ts'

/** Pages of the table that are searched for matching rows, wherever they lie. */
const pagesSampled = 200
const searchMs = 3000

/** Where to rehearse: windows that begin at matching rows, apart from one another, in key order. */
export interface Places {
  readonly windows: readonly KeyRange[]
  /** Whether a matching row was found. If none was, the windows are at both ends of the table. */
  readonly matching: boolean
  /** Why matching rows could not be searched for. The windows are then anywhere. Null if they could. */
  readonly fault: string | null
}

/**
 * Finds matching rows: on some pages of the table and, if these hold too few, by the predicate itself, for a few
 * seconds. `ranges`: the run's own, in their order.
 */
export async function findPlaces(
  client: ClientBase,
  target: Target,
  job: ResolvedJob,
  ranges: readonly KeyRange[],
  most: number,
  rowsAtEnd: number,
): Promise<Places> {
  let found: Found[] = []
  let fault: string | null = null
  for (const search of [sampledSql, firstSql]) {
    try {
      found = await rolledBack(client, () => searchRows(client, search(target, job, most)))
      fault = null
      if (found.length >= most) break
    } catch (error) {
      if (recoveryFrom(error) !== 'bisect' && classifyError(error) !== 'statement-timeout') throw error
      fault = describeFault(error)
    }
  }
  const matching = found.length > 0
  // If the predicate fails, any rows do: those that it fails for are among them.
  if (!matching && fault !== null)
    found = await rolledBack(client, () => searchRows(client, sampledSql(target, { ...job, where: null }, most)))
  const windows =
    found.length > 0
      ? await windowsAt(client, target, leavesOf(target, ranges), found)
      : await windowsAtEnds(client, target, ranges, rowsAtEnd)
  return { windows, matching, fault: matching ? null : fault }
}

const foundRows = declared('searchRows', {
  /** The table's oid, or that of the partition that holds the row. */
  oid: z.string(),
  key: cursorSchema,
})

type Found = RowOf<typeof foundRows>

interface Search {
  readonly text: string
  readonly values: readonly unknown[]
}

/** Lets the planner choose: a window must not scan, but a single search may. */
const beginSearchSql = statement(
  'beginSearch',
  { value: z.string() },
  `SELECT pg_catalog.set_config(name, value, true) AS value FROM (VALUES ('statement_timeout', '${searchMs}ms'), ('enable_seqscan', 'on'),
       ('enable_bitmapscan', 'on'), ('plan_cache_mode', 'force_custom_plan')) AS settings (name, value)`,
)

async function searchRows(client: ClientBase, { text, values }: Search): Promise<Found[]> {
  await beginSearchSql.rows({ db: client })
  return foundRows.read(await client.query(text, [...values]))
}

/** Matching rows on pages at random, but the same ones each time: the first of each of `most` equal parts of them. */
function sampledSql(target: Target, job: ResolvedJob, most: number): Search {
  const table = tableSql(target)
  const bytes = `(SELECT pg_catalog.sum(pg_catalog.pg_relation_size(relid)) FROM (SELECT ${table.regclass} AS relid
      UNION SELECT relid FROM pg_catalog.pg_partition_tree(${table.regclass})) AS parts)::pg_catalog.float8`
  const part = `('${100 * pagesSampled}'::pg_catalog.float8 ${times} pg_catalog.current_setting('block_size')::pg_catalog.float8)
      ${over} greatest('1'::pg_catalog.float8, ${bytes})`
  const percent = `(SELECT least('100'::pg_catalog.float8, ${part})::pg_catalog.float4)`
  return partsOf(target, job, most, `TABLESAMPLE SYSTEM (${percent}) REPEATABLE (1)`, '')
}

/** The first matching rows, wherever Postgres finds them. */
function firstSql(target: Target, job: ResolvedJob, most: number): Search {
  return partsOf(target, job, most, '', `LIMIT ${most}`)
}

function partsOf(target: Target, job: ResolvedJob, most: number, sample: string, limit: string): Search {
  const table = tableSql(target)
  const where = job.where && compileSql(job.where, 2)
  const names = table.keys.map((key, index) => `${key} AS ${table.keyNames[index]}`)
  const order = ['_ek_oid', ...table.keyNames].join(', ')
  return {
    values: [most, ...(where?.values ?? [])],
    text: `SELECT DISTINCT ON (_ek_part) _ek_oid::pg_catalog.text AS oid, ${table.keyArray('_ek_parted')} AS key
      FROM (
        SELECT *, pg_catalog.ntile($1::int) OVER (ORDER BY ${order}) AS _ek_part FROM (
          SELECT ${table.name}.tableoid AS _ek_oid, ${names.join(', ')} FROM ${table.from} ${sample}
          WHERE ${where ? `((${where.text}\n) IS TRUE)` : 'true'} ${limit}
        ) AS _ek_matching
      ) AS _ek_parted ORDER BY _ek_part, ${order}`,
  }
}

function leavesOf(target: Target, ranges: readonly KeyRange[]): Map<string, Leaf | null> {
  return new Map(ranges.map(({ leaf }) => [leaf?.oid ?? target.oid, leaf]))
}

/** Each window goes from a row that was found up to the next one. */
async function windowsAt(
  client: ClientBase,
  target: Target,
  leaves: ReadonlyMap<string, Leaf | null>,
  found: readonly Found[],
): Promise<KeyRange[]> {
  const begun: Array<Found & { readonly leaf: Leaf | null; readonly lower: Cursor | null }> = []
  for (const row of found) {
    // A partition that was added after the ranges were split is in none of them.
    const leaf = leaves.get(row.oid)
    if (leaf !== undefined) begun.push({ ...row, leaf, lower: await keyBefore(client, target, leaf, row.key) })
  }
  return begun.map(({ leaf, lower, oid }, index) => {
    const next = begun[index + 1]
    return { leaf, lower, upper: next?.oid === oid ? next.lower : null }
  })
}

/** The first and the last rows: where new rows arrive, and rows about which the rest of the table says nothing. */
async function windowsAtEnds(
  client: ClientBase,
  target: Target,
  ranges: readonly KeyRange[],
  rows: number,
): Promise<KeyRange[]> {
  const [first] = ranges
  const last = ranges.at(-1)
  if (!first || !last) return []
  const lower = await keyBeforeLast(client, target, last.leaf, rows)
  const atStart = { leaf: first.leaf, lower: null, upper: last.leaf?.oid === first.leaf?.oid ? lower : null }
  // A shorter table is one window.
  return lower === null && last.leaf?.oid === first.leaf?.oid
    ? [atStart]
    : [atStart, { leaf: last.leaf, lower, upper: null }]
}

const keyBeforeRows = declared('keyBefore', { key: cursorSchema })

async function keyBefore(client: ClientBase, target: Target, leaf: Leaf | null, key: Cursor): Promise<Cursor | null> {
  const table = tableSql(target, leaf)
  const found = await client.query(
    `SELECT ${table.keyText} AS key FROM ${table.from} WHERE ${table.compare(table.keys, 'less', table.typedKeys('$1::pg_catalog.text[]'))}
     ORDER BY ${table.keys.map((column) => `${column} DESC`).join(', ')} LIMIT 1`,
    [key],
  )
  return keyBeforeRows.readFirst(found)?.key ?? null
}

/** The key before the last `rows` rows; null if there are no more than that. */
async function keyBeforeLast(
  client: ClientBase,
  target: Target,
  leaf: Leaf | null,
  rows: number,
): Promise<Cursor | null> {
  const table = tableSql(target, leaf)
  const found = await client.query(
    `SELECT ${table.keyText} AS key FROM ${table.from}
     ORDER BY ${table.keys.map((column) => `${column} DESC`).join(', ')} OFFSET $1::int LIMIT 1`,
    [rows],
  )
  return keyBeforeRows.readFirst(found)?.key ?? null
}
