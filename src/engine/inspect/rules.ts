import type { ClientBase } from 'pg'
import { z } from 'zod'
import type { Leaf } from '../../core/range/key.ts'
import { quoteTableName } from '../../core/sql/identifier.ts'
import { statement } from '../../postgres/statement.ts'

const listRulesSql = statement(
  'listRules',
  { schema: z.string(), table: z.string(), rules: z.string() },
  `SELECT n.nspname AS schema, c.relname AS table,
       pg_catalog.string_agg(pg_catalog.quote_ident(r.rulename::text), ', ' ORDER BY r.rulename) AS rules
     FROM pg_catalog.pg_rewrite r JOIN pg_catalog.pg_class c ON c.oid = r.ev_class JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
     WHERE r.ev_class = ANY($1::pg_catalog.oid[]) AND r.ev_type = '2' AND r.ev_enabled IN ('O', 'A')
     GROUP BY n.nspname, c.relname ORDER BY n.nspname, c.relname`,
)

/** Rules for UPDATE. Postgres refuses to apply them to a statement that does more than the update. */
export async function checkRules(client: ClientBase, tables: ReadonlyArray<Pick<Leaf, 'oid'>>): Promise<string[]> {
  const rows = await listRulesSql.rows({ db: client }, [tables.map(({ oid }) => oid)])
  return rows.map(({ rules, ...name }) => {
    const table = quoteTableName(name)
    return `${table} has rules for UPDATE (${rules}), and the statement of a batch cannot be rewritten by rules: make them triggers, or ALTER TABLE ${table} DISABLE RULE for as long as the backfill lasts.`
  })
}
