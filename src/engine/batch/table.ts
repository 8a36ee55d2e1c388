import type { KeyColumn, KeyOperators, Leaf, Target } from '../../core/range/key.ts'
import { quoteIdentifier, quoteLiteral, quoteTableName } from '../../core/sql/identifier.ts'
import { eq, item } from './operators.ts'
import { unchangedSql } from './unchanged.ts'

/**
 * A target table's names as statements need them. A job's author writes columns bare or by the table's own name, so no
 * statement may give the table an alias. Our own names begin with `_ek_` to stay out of the author's way.
 */
export interface TableSql {
  /**
   * `ONLY "schema"."table"`, or a partition under the table's name. A ctid names a row in each inheritance child. A
   * partitioned table has rows only in its partitions.
   */
  readonly from: string
  /** The relation that holds the rows. */
  readonly place: Leaf
  /** The same as a regclass: `'"schema"."table"'::pg_catalog.regclass` */
  readonly regclass: string
  /** Whether it is still the same table or partition, with the same key in the same order. */
  readonly isOurs: string
  /** Whether the index does not find a row by its key. */
  readonly isUnfindable: string
  readonly columns: readonly KeyColumn[]
  /** The strength of the row lock. */
  readonly rowLock: Target['rowLock']
  /** `"table"`, for qualifying columns */
  readonly name: string
  /** `"table"."a"`, `"table"."b"` */
  readonly keys: readonly string[]
  /** The names of the keys outside of the table: `_ek_k1`, `_ek_k2`. */
  readonly keyNames: readonly string[]
  /** The table's key as the text array in which cursors are stored. */
  readonly keyText: string
  /** The same for the key of a relation. */
  keyArray(relation: string): string
  /** The items of a stored key (an SQL expression of type text[]), each cast to its column's type. */
  typedKeys(array: string): readonly string[]
  /** The items of a key in a JSON array, each cast to its column's type. */
  jsonKeys(array: string): readonly string[]
  /** Compares two keys, given by their items, in the key's order. */
  compare(left: readonly string[], how: keyof KeyOperators, right: readonly string[]): string
  /** Equality of keys given by their items. */
  sameKey(left: readonly string[], right: readonly string[]): string
  /** Equality of two relations' keys. */
  equal(left: string, right: string): string
  /**
   * The table's row that a relation's row was read from: by ctid, which names a row only within one file; else by key.
   */
  sameRow(relation: string): string
}

/** With a leaf, statements see only this partition, under the table's name for the author's SQL. */
export function tableSql(target: Target, leaf: Leaf | null = null): TableSql {
  const name = quoteIdentifier(target.table)
  const source = `${leaf || !target.partitioned ? 'ONLY ' : ''}${quoteTableName(leaf ?? target)}`
  const columns = target.key.map((column) => quoteIdentifier(column.name))
  const keys = columns.map((column) => `${name}.${column}`)
  const keyNames = target.key.map((_, index) => `_ek_k${index + 1}`)
  const typedKeys = (array: string) => target.key.map((column, index) => `(${array})[${index + 1}]::${column.type}`)
  const regclass = `${quoteLiteral(quoteTableName(leaf ?? target))}::pg_catalog.regclass`
  const sameKey = (left: readonly string[], right: readonly string[]) =>
    target.key
      .map(
        ({ operators }, index) =>
          `${asOperand(operators, left[index])} ${operator(operators.equal)} ${asOperand(operators, right[index])}`,
      )
      .join(' AND ')
  return {
    from: leaf ? `${source} AS ${name}` : source,
    place: leaf ?? target,
    regclass,
    isOurs: unchangedSql(target, leaf, regclass),
    // A value, and not EXISTS, which would become a join that reads the whole index.
    isUnfindable: `(SELECT 1 FROM ${source} AS _ek_probe WHERE ${sameKey(
      columns.map((column) => `_ek_probe.${column}`),
      keys,
    )} LIMIT 1) IS NULL`,
    columns: target.key,
    rowLock: target.rowLock,
    name,
    keys,
    keyNames,
    keyText: textArray(keys),
    keyArray: (relation) => textArray(keyNames.map((key) => `${relation}.${key}`)),
    typedKeys,
    jsonKeys: (array) => target.key.map(({ type }, index) => `(${array} ${item} ${index})::${type}`),
    compare: (left, how, right) =>
      `${asRow(target.key, left)} ${rowOperator(target.key, how)} ${asRow(target.key, right)}`,
    sameKey,
    equal: (left, right) =>
      sameKey(
        keyNames.map((key) => `${left}.${key}`),
        keyNames.map((key) => `${right}.${key}`),
      ),
    sameRow: (relation) =>
      leaf || !target.partitioned
        ? `${name}.ctid ${eq} ${relation}._ek_at`
        : sameKey(
            keys,
            keyNames.map((key) => `${relation}.${key}`),
          ),
  }
}

/**
 * Uses the collation of the control schema's own columns. Columns with different collations make an array without any,
 * which cannot be compared. With another collation than its index has, a look-up in the quarantine could not use the
 * index.
 */
function textArray(items: readonly string[]): string {
  return `ARRAY[${items.map((value) => `${value}::pg_catalog.text`).join(', ')}] COLLATE pg_catalog."default"`
}

function operator(name: string): string {
  return `OPERATOR(${name})`
}

/**
 * The operator that compares whole keys has one name for all columns. If the operators of the columns lie in different
 * schemas, that is the bare name, looked up column by column: `checkOperators` ensures that the search_path leads to
 * the right ones.
 */
function rowOperator(columns: readonly KeyColumn[], how: keyof KeyOperators): string {
  const [first = '', ...others] = columns.map(({ operators }) => operators[how])
  return others.every((name) => name === first) ? operator(first) : bareName(first)
}

/** Whether the operators of a key lie in several schemas. */
export function isMixed(columns: readonly KeyColumn[]): boolean {
  return new Set(columns.map(({ operators }) => operators.more)).size > 1
}

/** An operator's name without its schema. A schema's name may hold any letter, but an operator's has no dot. */
export function bareName(name: string): string {
  return name.slice(name.lastIndexOf('.') + 1)
}

/** `(a, b)`, or plain `a`: the form in which Postgres compares a key. */
function asRow(columns: readonly KeyColumn[], items: readonly string[]): string {
  const operands = columns.map(({ operators }, index) => asOperand(operators, items[index]))
  return operands.length === 1 ? (operands[0] as string) : `(${operands.join(', ')})`
}

/**
 * A value as its operator takes it. Users may create operators in the schema of an extension, and one there could fit a
 * domain over the type more closely. In Postgres' own schema they cannot.
 */
function asOperand({ equal, operand }: KeyOperators, value = ''): string {
  return equal.startsWith('pg_catalog.') ? value : `${value}::${operand}`
}
