import type { ClientBase } from 'pg'
import { z } from 'zod'
import { Problem } from '../../core/errors.ts'
import { type KeyColumn, keySchema, type Target } from '../../core/range/key.ts'
import type { Held } from '../../core/sql/settings.ts'
import { jsonb, statement } from '../../postgres/statement.ts'
import { bareName, isMixed } from '../batch/table.ts'

const readKeySql = statement(
  'readKey',
  { key: jsonb(keySchema).nullable() },
  (s) => `SELECT ${s}.key_columns($1, $2) AS key`,
)

/** The columns of a key, with the operators by which their index compares them. */
export async function readKey(
  client: ClientBase,
  s: string,
  tableOid: string,
  names: readonly string[],
): Promise<readonly KeyColumn[]> {
  return (await readKeySql.one({ db: client, s }, [tableOid, names])).key ?? []
}

const readHeldSql = statement(
  'readHeld',
  { held: z.enum(['dates', 'intervals', 'floats', 'arrays']).nullable() },
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
)

/**
 * What the values of a key are or contain: elements of arrays and ranges, columns of composites, base types of domains.
 */
export async function readHeld(client: ClientBase, tableOid: string, names: readonly string[]): Promise<Set<Held>> {
  const rows = await readHeldSql.rows({ db: client }, [tableOid, names])
  return new Set(rows.flatMap(({ held }) => held ?? []))
}

const findHiddenOperatorsSql = statement(
  'findHiddenOperators',
  { name: z.string() },
  `SELECT asked.name FROM ROWS FROM (pg_catalog.unnest($1::pg_catalog.text[]), pg_catalog.unnest($2::pg_catalog.text[])) AS asked (bare, name)
     WHERE NOT coalesce(pg_catalog.to_regoperator(asked.bare)::pg_catalog.oid
       OPERATOR(pg_catalog.=) pg_catalog.to_regoperator(asked.name)::pg_catalog.oid, false)`,
)

/**
 * Throws a Problem if a key whose operators lie in several schemas would be compared by others than its index's. Such a
 * key is compared by bare operators, which the session's search_path must find.
 */
export async function checkOperators(client: ClientBase, { key }: Pick<Target, 'key'>): Promise<void> {
  if (!isMixed(key)) return
  const hows = ['less', 'atMost', 'more'] as const
  const pairs = key.flatMap(({ operators }) =>
    hows.map((how) =>
      [bareName(operators[how]), operators[how]].map((name) => `${name}(${operators.operand},${operators.operand})`),
    ),
  )
  const hidden = await findHiddenOperatorsSql.first({ db: client }, [
    pairs.map(([bare]) => bare),
    pairs.map(([, name]) => name),
  ])
  if (!hidden) return
  throw new Problem(
    'invalid',
    `The key (${key.map(({ name }) => name).join(', ')}) is compared by operators of several schemas, and the search_path does not lead to ${hidden.name}: add its schema by ALTER ROLE … SET search_path, or use a key of one column.`,
  )
}
