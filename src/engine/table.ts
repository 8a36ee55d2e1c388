import { quoteIdentifier, quoteTableName } from '../core/identifier.ts'
import type { KeyColumn, Leaf, Target } from '../core/key.ts'

/**
 * A target table's names as statements need them. A job's author writes columns bare or by the table's own name, so no
 * statement may give the table an alias; our own names begin with `_ek_` to stay out of the author's way.
 */
export interface TableSql {
  /** `"schema"."table"`, or a partition under the table's name */
  readonly from: string
  /** Where the rows lie. */
  readonly place: Leaf
  /** The same as Postgres knows it: `'"schema"."table"'::pg_catalog.regclass` */
  readonly regclass: string
  /** Whether that name still means the table, or partition, that it did; constant, so that it costs a batch nothing. */
  readonly isOurs: string
  readonly columns: readonly KeyColumn[]
  /** The strength of the row lock. */
  readonly rowLock: Target['rowLock']
  /** `"table"`, for qualifying columns */
  readonly name: string
  /** `"table"."a"`, `"table"."b"` */
  readonly keys: readonly string[]
  /** What the keys are called once they have left the table: `_ek_k1`, `_ek_k2`. */
  readonly keyNames: readonly string[]
  /** The table's key as the text array that cursors are stored as. */
  readonly keyText: string
  /** The same of a relation's. */
  keyArray(relation: string): string
  /** The items of a stored key, an SQL expression of type text[], each cast to its column's type. */
  typedKeys(array: string): readonly string[]
  /** A stored key as a row to compare the table's key with. */
  row(array: string): string
  /** Equality of two relations' keys. */
  equal(left: string, right: string): string
  /** The table's row that a relation's row was read from. By ctid, which names a row only within one file; else by key. */
  sameRow(relation: string): string
}

/** With a leaf, the statements see only this partition, and the author's SQL still finds the table's name. */
export function tableSql(target: Target, leaf: Leaf | null = null): TableSql {
  const name = quoteIdentifier(target.table)
  const keys = target.key.map((column) => `${name}.${quoteIdentifier(column.name)}`)
  const keyNames = target.key.map((_, index) => `_ek_k${index + 1}`)
  const typedKeys = (array: string) => target.key.map((column, index) => `(${array})[${index + 1}]::${column.type}`)
  const regclass = `'${quoteTableName(leaf ?? target).replaceAll("'", "''")}'::pg_catalog.regclass`
  return {
    from: leaf ? `${quoteTableName(leaf)} AS ${name}` : quoteTableName(target),
    place: leaf ?? target,
    regclass,
    isOurs: `${regclass} = '${(leaf ?? target).oid}'::pg_catalog.oid`,
    columns: target.key,
    rowLock: target.rowLock,
    name,
    keys,
    keyNames,
    keyText: textArray(keys),
    keyArray: (relation) => textArray(keyNames.map((key) => `${relation}.${key}`)),
    typedKeys,
    row: (array) => asRow(typedKeys(array)),
    equal: (left, right) => keyNames.map((key) => `${left}.${key} = ${right}.${key}`).join(' AND '),
    sameRow: (relation) =>
      leaf || !target.partitioned
        ? `${name}.ctid = ${relation}._ek_at`
        : keys.map((column, index) => `${column} = ${relation}.${keyNames[index]}`).join(' AND '),
  }
}

/**
 * Under the collation that the control schema's own columns have: columns of different ones leave an array without any, which
 * cannot be compared, and another one than its index has would keep a look into the quarantine from it.
 */
function textArray(items: readonly string[]): string {
  return `ARRAY[${items.map((item) => `${item}::text`).join(', ')}] COLLATE pg_catalog."default"`
}

/** `(a, b)`, or plain `a`: what Postgres compares a key as. */
export function asRow(items: readonly string[]): string {
  return items.length === 1 ? (items[0] as string) : `(${items.join(', ')})`
}
