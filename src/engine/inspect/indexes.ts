import type { ClientBase } from 'pg'
import { z } from 'zod'
import { type RowOf, statement } from '../../postgres/statement.ts'

const listIndexesSql = statement(
  'listIndexes',
  {
    name: z.string(),
    primary: z.boolean(),
    columns: z.array(z.string()),
    /** Unique, on plain columns, over all rows. */
    identifies: z.boolean(),
    /** What keeps it from ordering and identifying rows, in words. */
    faults: z.array(z.string()),
  },
  `SELECT quote_ident(c.relname) AS name, i.indisprimary AS primary, k.columns,
       i.indisunique AND i.indpred IS NULL AND i.indexprs IS NULL AS identifies,
       array_remove(ARRAY[
         CASE WHEN NOT i.indisunique THEN 'is not unique' END,
         CASE WHEN NOT i.indisvalid OR NOT i.indisready THEN 'is not valid: a concurrent build failed or still runs' END,
         CASE WHEN i.indpred IS NOT NULL THEN 'is partial' END,
         CASE WHEN i.indexprs IS NOT NULL THEN 'is on an expression' END,
         CASE WHEN am.amname <> 'btree' THEN 'is not a btree' END,
         CASE WHEN NOT k.ordered THEN 'does not order its columns as ORDER BY does (all ascending or all descending, default nulls, opclass and collation)' END
       ], NULL) AS faults
     FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am am ON am.oid = c.relam,
       LATERAL (SELECT array_agg(a.attname::text ORDER BY u.n) AS columns,
           (bool_and(o.option = 0) OR bool_and(o.option = 3)) AND bool_and(oc.opcdefault) AND bool_and(cl.coll = a.attcollation) AS ordered
         FROM unnest(i.indkey) WITH ORDINALITY AS u (attnum, n)
         JOIN unnest(i.indoption) WITH ORDINALITY AS o (option, n) USING (n)
         JOIN unnest(i.indclass) WITH ORDINALITY AS ic (opclass, n) USING (n)
         JOIN unnest(i.indcollation) WITH ORDINALITY AS cl (coll, n) USING (n)
         JOIN pg_opclass oc ON oc.oid = ic.opclass
         JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = u.attnum
         WHERE u.n <= i.indnkeyatts) AS k
     WHERE i.indrelid = $1 AND k.columns IS NOT NULL ORDER BY i.indisprimary DESC, name`,
)

/** An index of a table, at least in part on plain columns. */
export type IndexRow = RowOf<typeof listIndexesSql>

export function listIndexes(client: ClientBase, oid: string): Promise<IndexRow[]> {
  return listIndexesSql.rows({ db: client }, [oid])
}

/** Whether an index gives the rows in exactly this key's order. */
export function orders(index: IndexRow, key: readonly string[]): boolean {
  return isOn(index, key) && index.faults.length === 0
}

/** Whether an index is on exactly these columns, in this order. */
export function isOn({ columns }: IndexRow, key: readonly string[]): boolean {
  return columns.length === key.length && key.every((name, i) => columns[i] === name)
}
