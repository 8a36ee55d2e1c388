import type { ClientBase } from 'pg'
import { z } from 'zod'
import type { Leaf, Target } from '../../core/range/key.ts'
import { quoteTableName } from '../../core/sql/identifier.ts'
import { statement } from '../../postgres/statement.ts'
import { eq } from '../batch/operators.ts'

/** A leaf partition as the catalog has it, and what this role may do with it. */
export interface PartitionRow extends Leaf {
  readonly ordinary: boolean
  readonly maySelect: boolean
  /** The requested columns that may not be written. */
  readonly readOnly: readonly string[]
  readonly rowSecurity: boolean
  /** Columns of plain unique indexes: the table's and its own. */
  readonly uniqueColumns: readonly string[]
  /** By its statistics; 0 if it has none. */
  readonly estimatedRows: number
}

const leafColumns = { schema: z.string(), table: z.string(), oid: z.string() }

const listPartitionsSql = statement(
  'listPartitions',
  {
    ...leafColumns,
    ordinary: z.boolean(),
    maySelect: z.boolean(),
    readOnly: z.array(z.string()),
    rowSecurity: z.boolean(),
    uniqueColumns: z.array(z.string()),
    estimatedRows: z.number(),
  },
  (
    s,
  ) => `SELECT l.schema, l.name AS table, l.oid::text, l.kind = 'r' AS ordinary, has_table_privilege(l.oid, 'SELECT') AS "maySelect",
       ARRAY(SELECT attname::text FROM pg_attribute WHERE attrelid = l.oid AND attname = ANY($3)
         AND NOT has_column_privilege(l.oid, attnum, 'UPDATE')) AS "readOnly",
       row_security_active(l.oid) AS "rowSecurity",
       ARRAY(SELECT DISTINCT a.attname::text FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY(i.indkey)
         WHERE i.indrelid = l.oid AND i.indisunique AND i.indpred IS NULL AND i.indexprs IS NULL) AS "uniqueColumns", greatest(0, c.reltuples)::float8 AS "estimatedRows"
     FROM ${s}.leaves($1, $2) AS l JOIN pg_class c ON c.oid = l.oid ORDER BY l.schema, l.name`,
)

/** The partitions that hold a table's rows, in the order of their names; none if it is not partitioned. */
export function listPartitions(
  client: ClientBase,
  s: string,
  target: Pick<Target, 'schema' | 'table'>,
  written: readonly string[] = [],
): Promise<PartitionRow[]> {
  return listPartitionsSql.rows({ db: client, s }, [target.schema, target.table, written])
}

const findLeafSql = statement(
  'findLeaf',
  leafColumns,
  (s) =>
    `SELECT schema, name AS table, oid::pg_catalog.text FROM ${s}.leaves($1, $2) WHERE oid ${eq} $3::pg_catalog.oid`,
)

/** A leaf under its present names; null if it no longer belongs to the table. */
export function findLeaf(client: ClientBase, s: string, target: Target, oid: string): Promise<Leaf | null> {
  return findLeafSql.first({ db: client, s }, [target.schema, target.table, oid])
}

/** What keeps the leaves from being worked on one by one, in words. */
export function checkPartitions(leaves: readonly PartitionRow[]): string[] {
  return leaves.flatMap((leaf) => {
    const name = quoteTableName(leaf)
    const findings: string[] = []
    if (!leaf.ordinary) findings.push(`Partition ${name} is a foreign table: run the job where its rows are.`)
    // A right to a partitioned table is no right to its partitions, which have ranges of their own.
    if (!leaf.maySelect)
      findings.push(`There is no right to read partition ${name}: GRANT SELECT ON it to the role evenkeel connects as.`)
    if (leaf.readOnly.length > 0) {
      const columns = leaf.readOnly.join(', ')
      findings.push(
        `There is no right to write ${columns} of partition ${name}: GRANT UPDATE (${columns}) ON it to the role evenkeel connects as.`,
      )
    }
    if (leaf.rowSecurity)
      findings.push(
        `Row-level security hides rows of partition ${name} from this role: use its owner, or a role with BYPASSRLS.`,
      )
    return findings
  })
}
