import type { ClientBase } from 'pg'
import { z } from 'zod'
import type { Target } from '../../core/range/key.ts'
import type { SpaceSample } from '../../core/space/forecast.ts'
import { quoteIdentifier } from '../../core/sql/identifier.ts'
import { compileSql } from '../../core/sql/template.ts'
import { isSqlState, sqlstateOf } from '../../core/sqlstate.ts'
import { declared, type RowOf, statement } from '../../postgres/statement.ts'
import { asAuthor } from '../batch/author.ts'
import { more, plus } from '../batch/operators.ts'
import { tableSql } from '../batch/table.ts'
import type { ResolvedJob } from '../kinds/kind.ts'

/** Pages that are read: a handful of megabytes, wherever they lie. */
const pagesSampled = 200
const withinMs = 2000

const listSampledColumnsSql = statement(
  'listSampledColumns',
  {
    name: z.string(),
    type: z.string(),
    /** Each row has a length of its own. */
    varies: z.boolean(),
  },
  // The full name of the type. A built-in type with a length is written in words that no other type matches.
  `SELECT a.attname AS name, a.attlen < 0 AS varies, CASE WHEN a.atttypmod = -1
         THEN quote_ident(tn.nspname) || '.' || quote_ident(t.typname) ELSE format_type(a.atttypid, a.atttypmod) END AS type
     FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
       JOIN pg_type t ON t.oid = a.atttypid JOIN pg_namespace tn ON tn.oid = t.typnamespace
     WHERE n.nspname = $1 AND c.relname = $2 AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated <> 'v'
     ORDER BY a.attnum`,
)

type Column = RowOf<typeof listSampledColumnsSql>

const sampleRow = declared('sampleSpace', {
  rows: z.number(),
  matching: z.number(),
  rowBytes: z.number().nullable(),
  oldBytes: z.number().nullable(),
  newBytes: z.number().nullable(),
  longBytes: z.number().nullable(),
})

/**
 * Samples some pages of the table, at random but the same ones each time: how many rows match, and how long a row is
 * before and after. It only reads: if the job's expressions write (nextval, a function of the author's), it leaves them
 * out. Null if that takes too long or fails: a forecast is not worth more than a moment.
 */
export async function sampleRows(
  client: ClientBase,
  s: string,
  target: Target,
  job: ResolvedJob,
  pages: number,
): Promise<SpaceSample | null> {
  const columns = await listSampledColumnsSql.rows({ db: client }, [target.schema, target.table])
  for (const set of [job.set, []]) {
    try {
      const sample = sampleStatement(target, { ...job, set }, columns, pages)
      return await asAuthor(client, s, target, () => readOnly(client, sample))
    } catch (error) {
      if (sqlstateOf(error) === null) throw error
      if (isSqlState(error, 'query_canceled')) return null
    }
  }
  return null
}

async function readOnly(
  client: ClientBase,
  { text, values }: { text: string; values: unknown[] },
): Promise<SpaceSample> {
  await client.query('BEGIN READ ONLY')
  try {
    await client.query(`SET LOCAL statement_timeout = ${withinMs}`)
    return sampleRow.readOne(await client.query(text, values))
  } finally {
    await client.query('ROLLBACK')
  }
}

function sampleStatement(target: Target, job: ResolvedJob, columns: readonly Column[], pages: number) {
  const table = tableSql(target)
  const where = job.where && compileSql(job.where, 2)
  const values: unknown[] = [pages > pagesSampled ? (100 * pagesSampled) / pages : 100, ...(where?.values ?? [])]
  const news = new Map<string, string>()
  const expressions = job.set.map(([column, expression], index) => {
    const compiled = compileSql(expression, 1 + values.length)
    values.push(...compiled.values)
    news.set(column, `_ek_new._ek_v${index + 1}`)
    const type = columns.find(({ name }) => name === column)?.type ?? 'pg_catalog.text'
    return `CAST((${compiled.text}\n) AS ${type}) AS _ek_v${index + 1}`
  })
  const own = (column: Column) => `${table.name}.${quoteIdentifier(column.name)}`
  const rowNow = rowBytes(columns, own)
  const then = (column: Column) => news.get(column.name) ?? own(column)
  const written = columns.filter(({ name, varies }) => varies && news.has(name))
  const long = written.map(
    (column) => `CASE WHEN ${isLong(then(column))} THEN pg_catalog.pg_column_size(${then(column)}) ELSE 0 END`,
  )
  const rowThen = `ARRAY[${rowBytes(columns, then)}, ${['0', ...long].join(` ${plus} `)}]`
  const matches = where ? `((${where.text}\n) IS TRUE)` : 'true'
  return {
    values,
    text: `SELECT pg_catalog.count(*)::pg_catalog.float8 AS rows,
      (pg_catalog.count(*) FILTER (WHERE _ek_matches))::pg_catalog.float8 AS matching,
      pg_catalog.avg(_ek_now)::pg_catalog.float8 AS "rowBytes",
      (pg_catalog.avg(_ek_now) FILTER (WHERE _ek_matches))::pg_catalog.float8 AS "oldBytes",
      pg_catalog.avg(_ek_then[1])::pg_catalog.float8 AS "newBytes", pg_catalog.avg(_ek_then[2])::pg_catalog.float8 AS "longBytes"
      FROM (
        SELECT ${matches} AS _ek_matches, ${rowNow} AS _ek_now,
          CASE WHEN ${matches} THEN (SELECT ${rowThen} FROM (SELECT ${expressions.join(', ')}) AS _ek_new) END AS _ek_then
        FROM ${table.from} TABLESAMPLE SYSTEM ($1::pg_catalog.float4) REPEATABLE (1)
      ) AS _ek_sampled`,
  }
}

/**
 * The bytes of a row on its page, header included. A long value lies beside the table, and its row has a pointer of 18
 * bytes to it. The value must not be fetched just to be measured.
 */
function rowBytes(columns: readonly Column[], value: (column: Column) => string): string {
  const fields = columns.map((column) =>
    column.varies ? `CASE WHEN ${isLong(value(column))} THEN NULL ELSE ${value(column)} END` : value(column),
  )
  const pointers = columns
    .filter(({ varies }) => varies)
    .map((column) => `CASE WHEN ${isLong(value(column))} THEN 18 ELSE 0 END`)
  return `(pg_catalog.pg_column_size(ROW(${fields.join(', ')}))${pointers.map((pointer) => ` ${plus} ${pointer}`).join('')})`
}

function isLong(value: string): string {
  return `pg_catalog.pg_column_size(${value}) ${more} 2000`
}
