import type { ClientBase } from 'pg'
import { Problem } from '../../core/errors.ts'
import type { KeyColumn, Target } from '../../core/range/key.ts'
import type { Held } from '../../core/sql/settings.ts'
import { bareName, isMixed } from '../batch/table.ts'

/** The columns of a key with how their index compares them. */
export async function readKey(
  client: ClientBase,
  s: string,
  tableOid: string,
  names: readonly string[],
): Promise<KeyColumn[]> {
  const { rows } = await client.query<{ key: KeyColumn[] }>(`SELECT ${s}.key_columns($1, $2) AS key`, [tableOid, names])
  return rows[0]?.key ?? []
}

/** What the values of a key are or hold: elements of arrays and ranges, columns of composites, what domains are over. */
export async function readHeld(client: ClientBase, tableOid: string, names: readonly string[]): Promise<Set<Held>> {
  const { rows } = await client.query<{ held: Held }>(
    `WITH RECURSIVE held AS (
       SELECT atttypid AS oid FROM pg_attribute WHERE attrelid = $1 AND attname = ANY($2)
       UNION
       SELECT part.oid FROM held JOIN pg_type t ON t.oid = held.oid, LATERAL (
         SELECT t.typelem WHERE t.typcategory = 'A'
         UNION ALL SELECT t.typbasetype
         UNION ALL SELECT r.rngsubtype FROM pg_range r WHERE t.oid IN (r.rngtypid, r.rngmultitypid)
         UNION ALL SELECT a.atttypid FROM pg_attribute a WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped
       ) AS part (oid) WHERE part.oid <> 0
     )
     SELECT CASE WHEN t.typcategory = 'D' THEN 'dates' WHEN t.typcategory = 'T' THEN 'intervals' WHEN t.typcategory = 'A' THEN 'arrays'
       WHEN t.oid IN ('float4'::regtype, 'float8'::regtype) OR t.typnamespace <> 'pg_catalog'::regnamespace THEN 'floats' END AS held
     FROM held JOIN pg_type t USING (oid) WHERE t.typcategory IN ('A', 'D', 'N', 'T')`,
    [tableOid, names],
  )
  return new Set(rows.map(({ held }) => held))
}

/**
 * Throws a Problem where a key whose operators lie in several schemas would be compared by others than its index's. Such a
 * key is compared by bare operators, which the session's search_path has to lead to.
 */
export async function checkOperators(client: ClientBase, { key }: Pick<Target, 'key'>): Promise<void> {
  if (!isMixed(key)) return
  const hows = ['less', 'atMost', 'more'] as const
  const pairs = key.flatMap(({ operators }) =>
    hows.map((how) =>
      [bareName(operators[how]), operators[how]].map((name) => `${name}(${operators.operand},${operators.operand})`),
    ),
  )
  const { rows } = await client.query<{ name: string }>(
    `SELECT asked.name FROM ROWS FROM (pg_catalog.unnest($1::pg_catalog.text[]), pg_catalog.unnest($2::pg_catalog.text[])) AS asked (bare, name)
     WHERE NOT coalesce(pg_catalog.to_regoperator(asked.bare)::pg_catalog.oid
       OPERATOR(pg_catalog.=) pg_catalog.to_regoperator(asked.name)::pg_catalog.oid, false)`,
    [pairs.map(([bare]) => bare), pairs.map(([, name]) => name)],
  )
  const [hidden] = rows
  if (!hidden) return
  throw new Problem(
    'invalid',
    `The key (${key.map(({ name }) => name).join(', ')}) is compared by operators of several schemas, and the search_path does not lead to ${hidden.name}: add its schema by ALTER ROLE … SET search_path, or use a key of one column.`,
  )
}
