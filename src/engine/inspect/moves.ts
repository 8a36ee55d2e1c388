import type { ClientBase } from 'pg'
import { z } from 'zod'
import { statement } from '../../postgres/statement.ts'

const listMovesSql = statement(
  'listMoves',
  {
    column: z.string(),
    /** The foreign key whose ON UPDATE changes it; null for a generated column. */
    constraint: z.string().nullable(),
  },
  // Before Postgres 15 the generated column depends on others, since then its expression does.
  `WITH RECURSIVE moved (rel, att, via) AS (
       SELECT a.attrelid, a.attnum, NULL::pg_catalog.name FROM pg_catalog.pg_attribute a
       WHERE a.attrelid OPERATOR(pg_catalog.=) $1::pg_catalog.oid AND a.attname OPERATOR(pg_catalog.=) ANY ($2::pg_catalog.name[]) AND NOT a.attisdropped
       UNION
       SELECT next.rel, next.att, next.via FROM moved m, LATERAL (
         SELECT d.adrelid, d.adnum, NULL::pg_catalog.name
         FROM pg_catalog.pg_attrdef d
         JOIN pg_catalog.pg_attribute g ON g.attrelid OPERATOR(pg_catalog.=) d.adrelid AND g.attnum OPERATOR(pg_catalog.=) d.adnum AND g.attgenerated OPERATOR(pg_catalog.<>) ''
         JOIN pg_catalog.pg_depend r ON r.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass
           AND r.refobjid OPERATOR(pg_catalog.=) d.adrelid AND r.refobjsubid OPERATOR(pg_catalog.=) m.att
           AND ((r.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_attrdef'::pg_catalog.regclass AND r.objid OPERATOR(pg_catalog.=) d.oid)
             OR (r.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass AND r.objid OPERATOR(pg_catalog.=) d.adrelid
               AND r.objsubid OPERATOR(pg_catalog.=) d.adnum))
         WHERE d.adrelid OPERATOR(pg_catalog.=) m.rel AND d.adnum OPERATOR(pg_catalog.<>) m.att
         UNION ALL
         -- A cascade gives each column the value of its own; SET NULL and SET DEFAULT change all of them.
         SELECT k.conrelid, pair.own, k.conname
         FROM pg_catalog.pg_constraint k, LATERAL ROWS FROM (pg_catalog.unnest(k.conkey), pg_catalog.unnest(k.confkey)) AS pair (own, theirs)
         WHERE k.contype OPERATOR(pg_catalog.=) 'f' AND k.confrelid OPERATOR(pg_catalog.=) m.rel AND m.att OPERATOR(pg_catalog.=) ANY (k.confkey)
           AND (k.confupdtype OPERATOR(pg_catalog.=) ANY ('{n,d}'::pg_catalog."char"[])
             OR (k.confupdtype OPERATOR(pg_catalog.=) 'c' AND pair.theirs OPERATOR(pg_catalog.=) m.att))
         UNION ALL
         -- The same column of partitions, and of what it is a partition of.
         SELECT other.attrelid, other.attnum, m.via
         FROM pg_catalog.pg_inherits i
         JOIN pg_catalog.pg_attribute one ON one.attrelid OPERATOR(pg_catalog.=) m.rel AND one.attnum OPERATOR(pg_catalog.=) m.att
         JOIN pg_catalog.pg_attribute other ON other.attname OPERATOR(pg_catalog.=) one.attname
           AND other.attrelid OPERATOR(pg_catalog.=) CASE WHEN i.inhparent OPERATOR(pg_catalog.=) m.rel THEN i.inhrelid ELSE i.inhparent END
         WHERE i.inhparent OPERATOR(pg_catalog.=) m.rel OR i.inhrelid OPERATOR(pg_catalog.=) m.rel
       ) AS next (rel, att, via)
     )
     SELECT a.attname AS column, pg_catalog.min(m.via::pg_catalog.text) AS constraint FROM moved m
     JOIN pg_catalog.pg_attribute a ON a.attrelid OPERATOR(pg_catalog.=) m.rel AND a.attnum OPERATOR(pg_catalog.=) m.att
     WHERE m.rel OPERATOR(pg_catalog.=) $1::pg_catalog.oid AND a.attname OPERATOR(pg_catalog.=) ANY ($3::pg_catalog.name[])
       AND NOT a.attname OPERATOR(pg_catalog.=) ANY ($2::pg_catalog.name[])
     GROUP BY a.attname ORDER BY a.attname`,
)

/**
 * Finds what moves the key although `set` does not name it: columns generated from those that it writes, and foreign
 * keys that pass a change on to the key, through any number of tables.
 */
export async function checkMoves(
  client: ClientBase,
  oid: string,
  written: readonly string[],
  key: readonly string[],
): Promise<string[]> {
  const rows = await listMovesSql.rows({ db: client }, [oid, written, key])
  return rows.map(({ column, constraint }) =>
    constraint === null
      ? `Key column ${column} is generated from a column that set writes: a row whose key moves can be done twice. Use a key that stays.`
      : `Foreign key ${constraint} changes key column ${column} when set writes the column that it refers to: a row whose key moves can be done twice, or never. Use a key that stays.`,
  )
}
