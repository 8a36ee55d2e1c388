import type { ClientBase } from 'pg'
import { z } from 'zod'
import type { Target } from '../../core/range/key.ts'
import type { TriggerFacts } from '../../core/space/forecast.ts'
import { sqlstateOf } from '../../core/sqlstate.ts'
import { declared, statement } from '../../postgres/statement.ts'
import { withParts } from './parts.ts'

const listTriggersSql = statement(
  'listTriggers',
  {
    name: z.string(),
    function: z.string(),
    each: z.enum(['row', 'statement']),
    deferred: z.boolean(),
    conditional: z.boolean(),
    parts: z.array(z.string()),
    /** Its WHEN, if that reads no row. It then holds for every row, or for none. */
    condition: z.string().nullable(),
  },
  `${withParts}
     SELECT t.tgname::text AS name,
       (SELECT pg_catalog.quote_ident(proname) FROM pg_catalog.pg_proc WHERE oid = t.tgfoid) AS function,
       CASE WHEN t.tgtype::int4 & 1 = 1 THEN 'row' ELSE 'statement' END AS each, t.tginitdeferred AS deferred,
       pg_catalog.bool_or(coalesce(t.tgqual::text ~ '\\{VAR ', false)) AS conditional,
       pg_catalog.array_agg(t.tgrelid::text) AS parts,
       pg_catalog.min(CASE WHEN t.tgqual::text !~ '\\{VAR ' THEN pg_catalog.pg_get_expr(t.tgqual, t.tgrelid) END) AS condition
     FROM pg_catalog.pg_trigger t JOIN parts p ON p.oid = t.tgrelid
     -- Of a row (1), or of a statement on what it names, which is what holds the rows; for UPDATE (16).
     WHERE NOT t.tgisinternal AND t.tgenabled IN ('O', 'A') AND t.tgtype::int4 & 16 = 16 AND (t.tgtype::int4 & 1 = 1 OR p.relkind = 'r')
       AND (pg_catalog.cardinality(t.tgattr::int2[]) = 0 OR EXISTS (SELECT FROM pg_catalog.pg_attribute a
         WHERE a.attrelid = t.tgrelid AND a.attnum = ANY(t.tgattr::int2[]) AND a.attname = ANY($3)))
     GROUP BY t.tgname, t.tgfoid, t.tgtype, t.tginitdeferred, t.tgqual::text ORDER BY name`,
)

/**
 * Triggers that an update of the columns fires, those of partitions once. A condition that reads no row is
 * evaluated at once.
 */
export async function listTriggers(
  client: ClientBase,
  { schema, table }: Pick<Target, 'schema' | 'table'>,
  columns: readonly string[],
): Promise<TriggerFacts[]> {
  const rows = await listTriggersSql.rows({ db: client }, [schema, table, columns])
  const holding: TriggerFacts[] = []
  for (const { condition, ...trigger } of rows)
    if (condition === null || (await holds(client, condition))) holding.push(trigger)
  return holding
}

const holdsRows = declared('triggerHolds', { holds: z.boolean().nullable() })

/**
 * Evaluates a condition as Postgres writes it, in this session, which is one that batches run in. If that fails, it is
 * taken to hold.
 */
async function holds(client: ClientBase, condition: string): Promise<boolean> {
  await client.query('BEGIN READ ONLY')
  try {
    return holdsRows.readOne(await client.query(`SELECT (${condition}) AS holds`)).holds === true
  } catch (error) {
    if (sqlstateOf(error) === null) throw error
    return true
  } finally {
    await client.query('ROLLBACK')
  }
}
