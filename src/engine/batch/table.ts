import type { KeyColumn, KeyOperators, Leaf, Target } from '../../core/range/key.ts'
import { quoteIdentifier, quoteLiteral, quoteTableName } from '../../core/sql/identifier.ts'
import { eq, item } from './operators.ts'
import { unchangedSql } from './unchanged.ts'

/**
 * A target table's names as statements need them. A job's author writes columns bare or by the table's own name, so no
 * statement may give the table an alias; our own names begin with `_ek_` to stay out of the author's way.
 */
export interface TableSql {
  /**
   * `ONLY "schema"."table"`, or a partition under the table's name. A place in the file names a row in each inheritance child;
   * a table that is partitioned has rows in its partitions alone.
   */
  readonly from: string
  /** Where the rows lie. */
  readonly place: Leaf
  /** The same as Postgres knows it: `'"schema"."table"'::pg_catalog.regclass` */
  readonly regclass: string
  /** Whether that is still the table, or partition, that it was, with the same key in the same order. */
  readonly isOurs: string
  /** Of a row, whether the index does not find it by its key. */
  readonly isUnfindable: string
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
  /** The items of a key that stands in JSON as an array, each cast to its column's type. */
  jsonKeys(array: string): readonly string[]
  /** Compares keys, given by their items, as one: in the key's order. */
  compare(left: readonly string[], how: keyof KeyOperators, right: readonly string[]): string
  /** Equality of keys given by their items. */
  sameKey(left: readonly string[], right: readonly string[]): string
  /** Equality of two relations' keys. */
  equal(left: string, right: string): string
  /** The table's row that a relation's row was read from. By ctid, which names a row only within one file; else by key. */
  sameRow(relation: string): string
}

/** With a leaf, the statements see only this partition, and the author's SQL still finds the table's name. */
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
    // As a value, not as EXISTS: that would be made a join, which reads the index whole.
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
 * Under the collation that the control schema's own columns have: columns of different ones leave an array without any, which
 * cannot be compared, and another one than its index has would keep a look into the quarantine from it.
 */
function textArray(items: readonly string[]): string {
  return `ARRAY[${items.map((value) => `${value}::pg_catalog.text`).join(', ')}] COLLATE pg_catalog."default"`
}

function operator(name: string): string {
  return `OPERATOR(${name})`
}

/**
 * The operator that compares whole keys. It has one name for all columns. Where theirs lie in different schemas that is the
 * bare one, looked up column by column: `checkOperators` sees to it that the search_path leads to the right ones.
 */
function rowOperator(columns: readonly KeyColumn[], how: keyof KeyOperators): string {
  const [first = '', ...others] = columns.map(({ operators }) => operators[how])
  return others.every((name) => name === first) ? operator(first) : bareName(first)
}

/** Whether the operators of a key lie in several schemas. */
export function isMixed(columns: readonly KeyColumn[]): boolean {
  return new Set(columns.map(({ operators }) => operators.more)).size > 1
}

/** An operator's name without its schema, which may itself hold any letter: operators have no dot in theirs. */
export function bareName(name: string): string {
  return name.slice(name.lastIndexOf('.') + 1)
}

/** `(a, b)`, or plain `a`: what Postgres compares a key as. */
function asRow(columns: readonly KeyColumn[], items: readonly string[]): string {
  const operands = columns.map(({ operators }, index) => asOperand(operators, items[index]))
  return operands.length === 1 ? (operands[0] as string) : `(${operands.join(', ')})`
}

/**
 * A value as its operator takes it. Others may create in the schema of an extension's operators, and put one there that
 * fits a domain over its type more closely. In that of Postgres' own they cannot.
 */
function asOperand({ equal, operand }: KeyOperators, value = ''): string {
  return equal.startsWith('pg_catalog.') ? value : `${value}::${operand}`
}
