import type { KeyColumn, KeyShape, Leaf, Target } from '../../core/range/key.ts'
import { quoteLiteral } from '../../core/sql/identifier.ts'
import { eq } from './operators.ts'

/**
 * The condition that a table is still what its lease found, which each batch asks before its first row. Another table
 * may bear its name, its key may have another type or collation, its index may be gone, a partition detached.
 * Inheritance children are looked for once per lease: `ONLY` keeps them out. A statement locks the table before it
 * takes its snapshot, so this condition and the rows see the same table. `regclass` is the relation that holds the
 * rows.
 */
export function unchangedSql(target: Target, leaf: Leaf | null, regclass: string): string {
  const place = oidOf(leaf ?? target)
  const root = oidOf(target)
  return [
    // A constant: it costs a batch nothing, and Postgres parses the statement again when the name means something else.
    `${regclass} ${eq} ${place}`,
    keySql(target, root),
    indexSql(target, root),
    ...(leaf
      ? [
          `EXISTS (SELECT FROM pg_catalog.pg_partition_ancestors(${place}) AS _ek_root WHERE _ek_root.relid::pg_catalog.oid ${eq} ${root})`,
        ]
      : []),
  ].join('\n      AND ')
}

function keySql({ key, shape }: Target, root: string): string {
  const columns = shape.map(({ attnum, typid, typmod, collation }, index) =>
    [
      `a.attrelid ${eq} ${root}`,
      `a.attnum ${eq} ${attnum}::pg_catalog.int2`,
      `a.attname ${eq} ${quoteLiteral((key[index] as KeyColumn).name)}::pg_catalog.name`,
      `a.atttypid ${eq} '${typid}'::pg_catalog.oid`,
      `a.atttypmod ${eq} ${typmod}::pg_catalog.int4`,
      `a.attcollation ${eq} '${collation}'::pg_catalog.oid`,
    ].join(' AND '),
  )
  return columns
    .map((unchanged) => `EXISTS (SELECT FROM pg_catalog.pg_attribute AS a WHERE ${unchanged})`)
    .join(' AND ')
}

/**
 * Leaves operators out: the lease has checked that they are the default ones, and no index with others replaces a
 * dropped one.
 */
function indexSql({ shape }: Target, root: string): string {
  const each = (items: readonly unknown[], type: string) => `'{${items.join(',')}}'::pg_catalog.${type}[]`
  const of = (column: string, type: string) => `(i.${column}::pg_catalog.${type}[])[0:${shape.length - 1}]`
  const options = [0, 3].map(
    (option) =>
      `${of('indoption', 'int2')} ${eq} ${each(
        shape.map(() => option),
        'int2',
      )}`,
  )
  return `EXISTS (SELECT FROM pg_catalog.pg_index AS i WHERE i.indrelid ${eq} ${root} AND i.indisunique AND i.indisvalid AND i.indisready
        AND i.indpred IS NULL AND i.indexprs IS NULL AND i.indnkeyatts ${eq} ${shape.length}::pg_catalog.int2
        AND ${of('indkey', 'int2')} ${eq} ${each(
          shape.map(({ attnum }: KeyShape) => attnum),
          'int2',
        )}
        AND ${of('indcollation', 'oid')} ${eq} ${each(
          shape.map(({ collation }: KeyShape) => collation),
          'oid',
        )} AND (${options.join(' OR ')}))`
}

function oidOf({ oid }: { readonly oid: string }): string {
  return `'${oid}'::pg_catalog.oid`
}
