import type { ClientBase } from 'pg'
import { z } from 'zod'
import { quoteTableName, type TableName } from '../../core/sql/identifier.ts'
import { statement } from '../../postgres/statement.ts'

/** What a name may refer to other than a table, by `pg_class.relkind`, and what to do. */
const others: Readonly<Record<string, readonly [kind: string, advice: string]>> = {
  v: ['a view', 'name the table behind it'],
  m: ['a materialized view', 'name the table behind it, and REFRESH MATERIALIZED VIEW afterwards'],
  f: ['a foreign table', 'run the job in the database where its rows are'],
  S: ['a sequence', 'name a table'],
  i: ['an index', 'name its table'],
  I: ['an index', 'name its table'],
  c: ['a composite type', 'name a table that has it'],
  t: ['a TOAST table', 'name the table that it belongs to'],
}

/** The finding that a name is not a table's; null if it is. */
export function kindFinding(relkind: string, name: string): string | null {
  if (relkind === 'r' || relkind === 'p') return null
  const [kind, advice] = others[relkind] ?? ['something else', 'name a table']
  return `${name} is ${kind}, not a table: ${advice}.`
}

const findMeantSql = statement(
  'findMeant',
  { schema: z.string(), table: z.string() },
  `SELECT n.nspname AS schema, c.relname AS table
     FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relkind IN ('r', 'p') AND pg_catalog.lower(c.relname::text) = pg_catalog.lower($2::text)
       AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
       AND pg_catalog.has_schema_privilege(n.oid, 'USAGE')
     ORDER BY ($1::text IS NULL OR pg_catalog.lower(n.nspname::text) = pg_catalog.lower($1::text)) DESC, n.nspname, c.relname LIMIT 3`,
)

/** Tables whose names differ only in case or in the schema, as written in SQL. */
export async function findMeant(client: ClientBase, { schema, table }: TableName): Promise<string[]> {
  const rows = await findMeantSql.rows({ db: client }, [schema, table])
  return rows.map((row) => written(row))
}

/** Quoted only if necessary. */
function written(name: { readonly schema: string; readonly table: string }): string {
  const bare = (part: string) => /^[a-z_][a-z0-9_$]*$/.test(part)
  if (bare(name.schema) && bare(name.table)) return `${name.schema}.${name.table}`
  const quoted = quoteTableName({ schema: null, table: name.table })
  return bare(name.schema) ? `${name.schema}.${bare(name.table) ? name.table : quoted}` : quoteTableName(name)
}
