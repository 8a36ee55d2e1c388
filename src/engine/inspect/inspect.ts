import type { ClientBase } from 'pg'
import { z } from 'zod'
import { Problem } from '../../core/errors.ts'
import type { Target } from '../../core/range/key.ts'
import { parseTableName, quoteIdentifier, quoteTableName } from '../../core/sql/identifier.ts'
import { ownSchemas } from '../../core/sql/search-path.ts'
import { settingsFor } from '../../core/sql/settings.ts'
import { isSqlState } from '../../core/sqlstate.ts'
import { declared, type RowOf, statement } from '../../postgres/statement.ts'
import { asAuthor, readOwnSettings } from '../batch/author.ts'
import { tableSql } from '../batch/table.ts'
import type { ResolvedJob } from '../kinds/kind.ts'
import { readExplained } from './explain.ts'
import { type IndexRow, isOn, listIndexes, orders } from './indexes.ts'
import { checkOperators, readHeld, readKey } from './key.ts'
import { checkMoves } from './moves.ts'
import { checkCollations, findUnfindable, outOfOrder, readOrder, shapeOf } from './order.ts'
import { checkPartitions, listPartitions, type PartitionRow } from './partitions.ts'
import { findMeant, kindFinding } from './relation-kind.ts'
import { checkRules } from './rules.ts'
import { checkStatements } from './statements.ts'

/**
 * Looks a job's table up in the catalog and checks everything that can be checked before a row is touched. Throws a
 * Problem (`invalid`) with all findings at once, each with what to do.
 */
export async function inspectTarget(client: ClientBase, s: string, job: ResolvedJob): Promise<Target> {
  const table = await findTable(client, s, job.table)
  // The checks below apply to tables only.
  const other = kindFinding(table.kind, job.table)
  if (other) throw refusal(job, [other])
  const columns = await listColumnsSql.rows({ db: client }, [table.oid])
  const indexes = await listIndexes(client, table.oid)
  const written = job.set.map(([name]) => name)
  const leaves = table.kind === 'p' ? await listPartitions(client, s, table, written) : []
  const order = await readOrder(client, table.oid, keyOf(job, indexes))
  const findings = [
    ...checkTable(table, s, job.table),
    ...checkPartitions(leaves),
    ...(await checkRules(client, [table, ...leaves])),
    ...checkSet(job, columns),
    ...checkDelete(job, table),
    ...checkKey(job, columns, indexes),
    ...(await checkMoves(client, table.oid, written, keyOf(job, indexes))),
    ...checkCollations(order, job.table),
  ]
  if (findings.length > 0) throw refusal(job, findings)

  const key = keyOf(job, indexes)
  const target: Target = {
    schema: table.schema,
    table: table.table,
    oid: table.oid,
    key: await readKey(client, s, table.oid, key),
    shape: order.map(shapeOf),
    byLocale: order.some(({ locale }) => locale !== null),
    settings: settingsFor(await readOwnSettings(client), await readHeld(client, table.oid, key)),
    partitioned: table.kind === 'p',
    rowLock: job.event === 'DELETE' || touchesUniqueIndex(job, indexes, leaves) ? 'UPDATE' : 'NO KEY UPDATE',
    estimatedRows: 0,
  }
  const faults = await asAuthor(client, s, target, async () => {
    await checkOperators(client, target)
    return checkStatements(client, s, target, job, leaves)
  })
  if (faults.length > 0) throw refusal(job, faults)
  if (target.byLocale && (await findUnfindable(client, tableSql(target)))) {
    throw refusal(job, [`Key (${order.map(({ name }) => name).join(', ')}): ${outOfOrder}`])
  }
  return { ...target, estimatedRows: await estimateRows(client, target) }
}

function refusal(job: ResolvedJob, findings: readonly string[]): Problem {
  return new Problem('invalid', `Job ${job.name} cannot run on ${job.table}. ${findings.join(' ')}`, { findings })
}

const findTableSql = statement(
  'findTable',
  {
    oid: z.string(),
    schema: z.string(),
    table: z.string(),
    kind: z.string(),
    hasChildren: z.boolean(),
    maySelect: z.boolean(),
    mayDelete: z.boolean(),
    rowSecurity: z.boolean(),
    /** Triggers that fire once per statement when rows are updated. */
    statementTriggers: z.array(z.string()),
  },
  `SELECT c.oid::text, n.nspname AS schema, c.relname AS table, c.relkind AS kind,
       c.relkind = 'r' AND EXISTS (SELECT FROM pg_inherits WHERE inhparent = c.oid) AS "hasChildren",
       has_table_privilege(c.oid, 'SELECT') AS "maySelect", has_table_privilege(c.oid, 'DELETE') AS "mayDelete", row_security_active(c.oid) AS "rowSecurity",
       ARRAY(SELECT tgname::text FROM pg_trigger WHERE tgrelid = c.oid AND tgenabled IN ('O', 'A') AND tgtype & 17 = 16) AS "statementTriggers"
     FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = $1`,
)

type TableRow = RowOf<typeof findTableSql>

async function findTable(client: ClientBase, s: string, name: string): Promise<TableRow> {
  const oid = await asAuthor(client, s, {}, () => resolveTable(client, name))
  const found = await findTableSql.first({ db: client }, [oid])
  if (found) return found
  const meant = await findMeant(client, parseTableName(name))
  const finding = `There is no table ${name}${meant.length > 0 ? `. Did you mean ${meant.join(' or ')}?` : '.'}`
  throw new Problem(
    'invalid',
    meant.length > 0
      ? finding
      : `There is no table ${name} in this database, or no right to see its schema. Check the name (write it as in SQL) and GRANT USAGE on the schema.`,
    { findings: [finding] },
  )
}

const resolveTableSql = statement(
  'resolveTable',
  { oid: z.string().nullable() },
  'SELECT pg_catalog.to_regclass($1)::pg_catalog.oid::pg_catalog.text AS oid',
)

/** The table that a name means under the session's search_path; null if there is none. */
async function resolveTable(client: ClientBase, name: string): Promise<string | null> {
  try {
    return (await resolveTableSql.one({ db: client }, [quoteTableName(parseTableName(name))])).oid
  } catch (error) {
    // to_regclass returns null for a missing table, but fails on a schema that may not be used.
    if (isSqlState(error, 'insufficient_privilege')) return null
    throw error
  }
}

const listColumnsSql = statement(
  'listColumns',
  { name: z.string(), notNull: z.boolean(), generated: z.boolean(), mayUpdate: z.boolean() },
  // A NOT NULL that was never validated (contype n, since Postgres 18) keeps the nulls that were there.
  `SELECT attname AS name,
       attnotnull AND NOT EXISTS (SELECT FROM pg_constraint WHERE conrelid = attrelid AND contype = 'n'
         AND attnum = ANY(conkey) AND NOT convalidated) AS "notNull",
       attgenerated <> '' OR attidentity = 'a' AS generated, has_column_privilege(attrelid, attnum, 'UPDATE') AS "mayUpdate"
     FROM pg_attribute WHERE attrelid = $1 AND attnum > 0 AND NOT attisdropped ORDER BY attnum`,
)

type ColumnRow = RowOf<typeof listColumnsSql>

function checkTable(table: TableRow, s: string, name: string): string[] {
  const findings: string[] = []
  if (ownSchemas(parseTableName(s).table).includes(table.schema)) {
    findings.push(
      `${name} is ${quoteTableName(table)}, a table of evenkeel itself: a job cannot change those. Name the schema of the table that you mean: public.${quoteIdentifier(table.table)}.`,
    )
  }
  if (table.hasChildren)
    findings.push(`${name} has inheritance children, whose keys are not unique together: run the job on each child.`)
  if (table.kind === 'p' && table.statementTriggers.length > 0) {
    findings.push(
      `Its statement-level triggers (${table.statementTriggers.join(', ')}) do not fire for changes in its partitions, which are made one by one: make them row-level, or, if they may miss the backfill, ALTER TABLE ${name} DISABLE TRIGGER for as long as it lasts.`,
    )
  }
  if (!table.maySelect)
    findings.push(`There is no right to read it: GRANT SELECT ON ${name} to the role evenkeel connects as.`)
  if (table.rowSecurity) {
    findings.push(
      `Row-level security hides rows of ${name} from this role, and they would be left out: use its owner, or a role with BYPASSRLS.`,
    )
  }
  return findings
}

function checkSet(job: ResolvedJob, columns: readonly ColumnRow[]): string[] {
  return job.set.flatMap(([name]) => {
    const column = columns.find((candidate) => candidate.name === name)
    if (!column) {
      return [
        `set names column ${name}, which does not exist: the table has ${columns.map((c) => c.name).join(', ')}. Add the column first.`,
      ]
    }
    if (column.generated) return [`set names column ${name}, which Postgres generates itself: it cannot be written.`]
    if (!column.mayUpdate)
      return [
        `There is no right to write column ${name}: GRANT UPDATE (${name}) ON ${job.table} to the role evenkeel connects as.`,
      ]
    return []
  })
}

function checkDelete(job: ResolvedJob, { mayDelete }: TableRow): string[] {
  return job.event === 'DELETE' && !mayDelete
    ? [`There is no right to delete its rows: GRANT DELETE ON ${job.table} to the role evenkeel connects as.`]
    : []
}

/** Postgres counts the columns of plain unique indexes as key columns of the row, whatever the job's key is. */
function touchesUniqueIndex(job: ResolvedJob, indexes: readonly IndexRow[], leaves: readonly PartitionRow[]): boolean {
  const columns = [
    ...indexes.filter(({ identifies }) => identifies).flatMap((index) => index.columns),
    ...leaves.flatMap(({ uniqueColumns }) => uniqueColumns),
  ]
  return job.set.some(([name]) => columns.includes(name))
}

function keyOf(job: ResolvedJob, indexes: readonly IndexRow[]): readonly string[] {
  return job.key ?? indexes.find((index) => index.primary)?.columns ?? []
}

function checkKey(job: ResolvedJob, columns: readonly ColumnRow[], indexes: readonly IndexRow[]): string[] {
  const key = keyOf(job, indexes)
  if (key.length === 0)
    return ['It has no primary key: name a key of unique, not null columns in the job (key: [...]).']
  if (key.length > 4)
    return [
      `Its primary key has ${key.length} columns, and a key has at most four: name a shorter unique key in the job.`,
    ]
  const unknown = key.filter((name) => !columns.some((column) => column.name === name))
  if (unknown.length > 0) return [`key names ${unknown.join(', ')}, which the table does not have.`]
  const findings = key
    .filter((name) => !columns.find((column) => column.name === name)?.notNull)
    .map((name) => `Key column ${name} may be null, and such rows would be left out: SET NOT NULL, or use another key.`)
  const written = job.set.map(([name]) => name).filter((name) => key.includes(name))
  if (written.length > 0) {
    findings.push(
      `set writes key column ${written.join(', ')}: a row whose key moves can be done twice. Use a key that stays.`,
    )
  }
  const named = `(${key.join(', ')})`
  const exact = indexes.filter((index) => isOn(index, key))
  if (exact.length === 0) {
    findings.push(
      `No index is on exactly ${named}, in this order: CREATE UNIQUE INDEX CONCURRENTLY ON ${job.table} ${named}.`,
    )
  } else if (!exact.some((index) => orders(index, key))) {
    findings.push(
      ...exact.map(
        (index) =>
          `Index ${index.name} on ${named} ${index.faults.join(' and ')}: CREATE UNIQUE INDEX CONCURRENTLY ON ${job.table} ${named}.`,
      ),
    )
  }
  return findings
}

const countRows = declared('countRows', { count: z.number() })

/**
 * The planner's own estimate from the file's size, or a count if the table is so small that the estimate would mislead.
 */
async function estimateRows(client: ClientBase, target: Target): Promise<number> {
  const { from } = tableSql(target)
  const explained = readExplained(await client.query(`EXPLAIN (FORMAT JSON) SELECT FROM ${from}`))
  const estimate = explained.Plan['Plan Rows'] ?? 0
  if (estimate > 200_000) return Math.round(estimate)
  const counted = await client.query(`SELECT count(*)::int AS count FROM (SELECT FROM ${from} LIMIT 400000) AS counted`)
  const { count } = countRows.readOne(counted)
  return Math.max(count, count === 400_000 ? estimate : 0)
}
