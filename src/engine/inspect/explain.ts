import type { ClientBase, QueryResult } from 'pg'
import { z } from 'zod'
import { declared } from '../../postgres/statement.ts'
import type { TableSql } from '../batch/table.ts'

/** A node of a plan as EXPLAIN (FORMAT JSON) gives it. */
export interface PlanNode {
  readonly 'Node Type': string
  readonly 'Index Cond'?: string
  readonly 'WAL Bytes'?: number
  readonly 'Parent Relationship'?: string
  readonly 'Subplan Name'?: string
  readonly 'Actual Loops'?: number
  readonly 'Actual Rows'?: number
  readonly 'Plan Rows'?: number
  readonly Schema?: string
  readonly 'Relation Name'?: string
  readonly Plans?: readonly PlanNode[]
}

const planNode: z.ZodType<PlanNode> = z.object({
  'Node Type': z.string(),
  'Index Cond': z.string().exactOptional(),
  'WAL Bytes': z.number().exactOptional(),
  'Parent Relationship': z.string().exactOptional(),
  'Subplan Name': z.string().exactOptional(),
  'Actual Loops': z.number().exactOptional(),
  'Actual Rows': z.number().exactOptional(),
  'Plan Rows': z.number().exactOptional(),
  Schema: z.string().exactOptional(),
  'Relation Name': z.string().exactOptional(),
  get Plans() {
    return z.array(planNode).exactOptional()
  },
})

const explained = z.object({
  Plan: planNode,
  Triggers: z.array(z.object({ 'Trigger Name': z.string(), Calls: z.number() })).optional(),
})
const explainRows = declared('explain', { 'QUERY PLAN': z.tuple([explained]) })

/** The output of EXPLAIN (FORMAT JSON) for a statement, as far as evenkeel reads it. */
export function readExplained(result: QueryResult): z.output<typeof explained> {
  return explainRows.readOne(result)['QUERY PLAN'][0]
}

/** All nodes of a plan, the root first. */
export function planNodes(node: PlanNode): PlanNode[] {
  return [node, ...(node.Plans ?? []).flatMap(planNodes)]
}

/**
 * Checks that a window is an index range scan in key order, as the engine's sessions plan it (the same for every
 * cursor). Otherwise each batch would read and sort the table. Null if it is, else what is wrong.
 */
export async function explainWindow(client: ClientBase, table: TableSql): Promise<string | null> {
  const order = table.keys.join(', ')
  const plan = await explainGeneric(
    client,
    `SELECT ${order} FROM ${table.from} WHERE ${table.compare(table.keys, 'more', table.typedKeys('$1'))} AND ${table.compare(table.keys, 'atMost', table.typedKeys('$2'))} ORDER BY ${order} LIMIT $3`,
    ['pg_catalog.text[]', 'pg_catalog.text[]', 'int'],
  )
  const nodes = planNodes(plan)
  const scans = nodes.filter((node) => node['Node Type'].endsWith('Scan'))
  const ranged = scans.every(
    (node) => /^Index (Only )?Scan/.test(node['Node Type']) && node['Index Cond'] !== undefined,
  )
  if (ranged && !nodes.some((node) => node['Node Type'].includes('Sort'))) return null
  return `A window is not an index range scan but ${nodes.map((node) => node['Node Type']).join(' over ')}: give the key a plain unique btree index, and ANALYZE the table.`
}

/** The generic plan of a statement. EXPLAIN has an option for it only since Postgres 16. */
async function explainGeneric(client: ClientBase, statement: string, types: readonly string[]): Promise<PlanNode> {
  await client.query(`PREPARE _ek_explained (${types.join(', ')}) AS ${statement}`)
  try {
    const found = await client.query(
      `EXPLAIN (FORMAT JSON) EXECUTE _ek_explained (${types.map(() => 'NULL').join(', ')})`,
    )
    return readExplained(found).Plan
  } finally {
    await client.query('DEALLOCATE _ek_explained')
  }
}
