import type { ClientBase } from 'pg'
import { z } from 'zod'
import { type Cursor, cursorSchema, type Leaf, type Target } from '../core/range/key.ts'
import type { KeyRange } from '../core/range/range.ts'
import { quoteIdentifier } from '../core/sql/identifier.ts'
import { type CompiledSql, compileSql } from '../core/sql/template.ts'
import { declared } from '../postgres/statement.ts'
import { type BatchInput, batchValues } from './batch/batch.ts'
import { eq, more } from './batch/operators.ts'
import { type TableSql, tableSql } from './batch/table.ts'
import { type PlanNode, planNodes, readExplained } from './inspect/explain.ts'
import type { ResolvedJob } from './kinds/kind.ts'

/** A batch that was really executed, as EXPLAIN (ANALYZE) reported it. */
export interface ExplainedBatch {
  readonly plan: unknown
  /** Rows of the table that it changed. */
  readonly changed: number
  readonly walBytes: number
  /** How often each trigger fired, by its name. */
  readonly fired: ReadonlyMap<string, number>
  /** Relations that subqueries read, as written in SQL. */
  readonly computed: readonly string[]
}

/** The whole output of EXPLAIN, for people. */
const planRows = declared('explainBatch', { 'QUERY PLAN': z.tuple([z.unknown()]) })

/** Executes one batch under EXPLAIN (ANALYZE), which reports everything but its result. */
export async function explainBatch(
  client: ClientBase,
  { schema, table }: Pick<Leaf, 'schema' | 'table'>,
  statement: CompiledSql,
  input: BatchInput,
): Promise<ExplainedBatch> {
  const found = await client.query(
    `EXPLAIN (ANALYZE, VERBOSE, WAL, BUFFERS, TIMING OFF, FORMAT JSON) ${statement.text}`,
    batchValues(statement, input),
  )
  const [plan] = planRows.readOne(found)['QUERY PLAN']
  const explained = readExplained(found)
  // A node's figure includes those below it. Only nodes that modify a table are never below one another here.
  const writers = planNodes(explained.Plan).filter((node) => node['Node Type'] === 'ModifyTable')
  const ofTable = writers.filter((node) => node.Schema === schema && node['Relation Name'] === table)
  const fired = new Map<string, number>()
  for (const { 'Trigger Name': name, Calls: calls } of explained.Triggers ?? [])
    fired.set(name, (fired.get(name) ?? 0) + calls)
  return {
    plan,
    changed: ofTable.reduce((sum, node) => sum + (node['Actual Rows'] ?? 0) * (node['Actual Loops'] ?? 0), 0),
    walBytes: writers.reduce((sum, node) => sum + (node['WAL Bytes'] ?? 0), 0),
    fired,
    computed: computedRelations(explained.Plan),
  }
}

/**
 * Relations of the job's own subqueries that depend on no row and are computed once. Our subqueries are CTEs, or count
 * them.
 */
function computedRelations(plan: PlanNode): string[] {
  const computed = planNodes(plan).filter(
    (node) =>
      (node['Parent Relationship'] === 'SubPlan' || node['Parent Relationship'] === 'InitPlan') &&
      !node['Subplan Name']?.startsWith('CTE ') &&
      (node['Actual Loops'] ?? 0) <= 1,
  )
  const relations = computed.flatMap(planNodes).flatMap((node) => {
    const { Schema: schema, 'Relation Name': relation } = node
    return schema === undefined || relation === undefined || schema === 'pg_catalog' ? [] : [`${schema}.${relation}`]
  })
  return [...new Set(relations)].sort()
}

/** A row of a sample: the key's and the job's columns, each as Postgres writes it, long values cut. */
export interface SampleRow {
  readonly key: Cursor
  readonly columns: Readonly<Record<string, string | null>>
}

const sampleRows = declared('sampleMatching', {
  key: cursorSchema,
  columns: z.record(z.string(), z.string().nullable()),
})

const maxShownLength = 200

/** Up to `limit` matching rows among the first `rows` of a range, in the window that a batch would take there. */
export async function sampleMatching(
  client: ClientBase,
  target: Target,
  job: ResolvedJob,
  { leaf, lower, upper }: KeyRange,
  rows: number,
  limit: number,
): Promise<SampleRow[]> {
  const table = tableSql(target, leaf)
  const where = job.where && compileSql(job.where, 6)
  const above = lower
    ? table.compare(table.keys, 'more', table.typedKeys('$1::pg_catalog.text[]'))
    : '$1::pg_catalog.text[] IS NULL'
  const below = upper
    ? table.compare(table.keys, 'atMost', table.typedKeys('$2::pg_catalog.text[]'))
    : '$2::pg_catalog.text[] IS NULL'
  const order = table.keys.join(', ')
  const found = await client.query(
    `WITH _ek_window AS MATERIALIZED (
       SELECT ${table.name}.ctid AS _ek_at, ${where ? `((${where.text}\n) IS TRUE)` : 'true'} AS _ek_matches
       FROM ${table.from} WHERE ${above} AND ${below} ORDER BY ${order} LIMIT $3::int
     )
     SELECT ${sampleColumns(table, target, job, '$5')} FROM ${table.from}
     WHERE ${table.name}.ctid ${eq} ANY (ARRAY(SELECT _ek_at FROM _ek_window WHERE _ek_matches LIMIT $4::int)) ORDER BY ${order}`,
    [lower, upper, rows, limit, sampleNames(target, job), ...(where?.values ?? [])],
  )
  return sampleRows.read(found)
}

/** The same rows read again, by key. */
export async function sampleByKey(
  client: ClientBase,
  target: Target,
  job: ResolvedJob,
  keys: readonly Cursor[],
  leaf: Leaf | null,
): Promise<SampleRow[]> {
  const table = tableSql(target, leaf)
  const found = await client.query(
    `SELECT ${sampleColumns(table, target, job, '$2')}
     FROM pg_catalog.jsonb_array_elements($1::pg_catalog.jsonb) AS _ek_given (_ek_key)
     JOIN ${table.from} ON ${table.sameKey(table.keys, table.jsonKeys('_ek_given._ek_key'))}`,
    [JSON.stringify(keys), sampleNames(target, job)],
  )
  return sampleRows.read(found)
}

/** The names are passed in a parameter: they are data here, keys of a JSON object. */
function sampleColumns(table: TableSql, target: Target, job: ResolvedJob, names: string): string {
  const values = sampleNames(target, job).map((name) => cut(`${table.name}.${quoteIdentifier(name)}::pg_catalog.text`))
  return `${table.keyText} AS key,
    pg_catalog.jsonb_object(${names}::pg_catalog.text[], ARRAY[${values.join(', ')}]) AS columns`
}

function cut(text: string): string {
  const length = `pg_catalog.length(${text})`
  return `CASE WHEN ${length} ${more} ${maxShownLength} THEN pg_catalog.concat(pg_catalog."left"(${text}, ${maxShownLength}), '… (', ${length}, ' characters)') ELSE ${text} END`
}

function sampleNames(target: Target, job: ResolvedJob): string[] {
  return [...target.key.map((column) => column.name), ...job.set.map(([column]) => column)]
}
