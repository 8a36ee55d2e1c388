import { quoteIdentifier } from '../core/identifier.ts'
import type { ResolvedJob } from '../core/job.ts'
import type { Cursor, Leaf, Target } from '../core/key.ts'
import { type CompiledSql, compileSql } from '../core/sql.ts'
import type { Session } from './author.ts'
import { type BatchInput, batchValues } from './batch.ts'
import { type PlanNode, planNodes } from './explain.ts'
import { tableSql } from './table.ts'

/** A batch that was really executed, as EXPLAIN (ANALYZE) saw it. */
export interface RehearsedBatch {
  readonly plan: unknown
  readonly seconds: number
  readonly walBytes: number
}

/** Executes one batch under EXPLAIN (ANALYZE), which gives its plan, time and WAL instead of its result. */
export async function rehearseBatch(
  session: Session,
  statement: CompiledSql,
  input: BatchInput,
): Promise<RehearsedBatch> {
  const { rows } = await session.query(
    `EXPLAIN (ANALYZE, WAL, BUFFERS, TIMING OFF, FORMAT JSON) ${statement.text}`,
    batchValues(statement, input),
  )
  const [explained] = (rows[0] as { 'QUERY PLAN': Array<{ Plan: PlanNode; 'Execution Time': number }> })['QUERY PLAN']
  if (!explained) throw new Error('EXPLAIN returned no plan')
  // Each node's figure holds those below it, and only nodes that modify a table are never below one another here.
  const writers = planNodes(explained.Plan).filter((node) => node['Node Type'] === 'ModifyTable')
  return {
    plan: explained,
    seconds: explained['Execution Time'] / 1000,
    walBytes: writers.reduce((sum, node) => sum + (node['WAL Bytes'] ?? 0), 0),
  }
}

/** A row as a sample shows it: the key's and the job's columns, each as Postgres writes it. */
export interface SampleRow {
  readonly key: Cursor
  readonly columns: Readonly<Record<string, string | null>>
}

/** Up to `limit` rows that match, from the first thousand in key order. */
export async function sampleMatching(
  session: Session,
  target: Target,
  job: ResolvedJob,
  limit: number,
  leaf: Leaf | null,
): Promise<SampleRow[]> {
  const table = tableSql(target, leaf)
  const where = job.where && compileSql(job.where, 3)
  const { rows } = await session.query(
    `SELECT ${sampleColumns(target, job)}
     FROM (SELECT * FROM ${table.from} ORDER BY ${table.keys.join(', ')} LIMIT 1000) AS ${table.name}
     WHERE ${where ? `(${where.text}\n)` : 'true'} ORDER BY ${table.keys.join(', ')} LIMIT $1`,
    [limit, sampleNames(target, job), ...(where?.values ?? [])],
  )
  return rows as SampleRow[]
}

/** The same rows once more, by key. */
export async function sampleByKey(
  session: Session,
  target: Target,
  job: ResolvedJob,
  keys: readonly Cursor[],
  leaf: Leaf | null,
): Promise<SampleRow[]> {
  const table = tableSql(target, leaf)
  const { rows } = await session.query(
    `SELECT ${sampleColumns(target, job)}
     FROM pg_catalog.jsonb_array_elements($1::pg_catalog.jsonb) AS _ek_given (_ek_key)
     JOIN ${table.from} ON ${table.sameKey(table.keys, table.jsonKeys('_ek_given._ek_key'))}`,
    [JSON.stringify(keys), sampleNames(target, job)],
  )
  return rows as SampleRow[]
}

/** The names stand in `$2`: they are data here, keys of a JSON object. */
function sampleColumns(target: Target, job: ResolvedJob): string {
  const table = tableSql(target)
  const values = sampleNames(target, job).map((name) => `${table.name}.${quoteIdentifier(name)}::pg_catalog.text`)
  return `${table.keyText} AS key,
    pg_catalog.jsonb_object($2::pg_catalog.text[], ARRAY[${values.join(', ')}]) AS columns`
}

function sampleNames(target: Target, job: ResolvedJob): string[] {
  return [...target.key.map((column) => column.name), ...job.set.map(([column]) => column)]
}
