import { Problem } from '../errors.ts'

const brand = Symbol.for('evenkeel.sql')

/** Values that can be bound as parameters. Dates go as ISO 8601 with their zone, never in local time. */
export type SqlValue = string | number | bigint | boolean | null | Date | readonly SqlValue[] | Sql

/** A piece of SQL: its text in parts, and between the parts values that are bound, never spliced in. */
export interface Sql {
  readonly [brand]: true
  readonly parts: readonly string[]
  readonly values: readonly SqlValue[]
}

/**
 * Writes SQL. The text is used as it stands in the file, backslashes included, except for two escapes: \` for ` and \${
 * for ${. A value in `${}` becomes a bound parameter, unless it is itself a piece of SQL. Postgres infers a parameter's
 * type from where it stands; if it cannot, cast it: `${days}::int`.
 */
export function sql(parts: TemplateStringsArray, ...values: SqlValue[]): Sql {
  for (const value of values) refuseUnbindable(value)
  return { [brand]: true, parts: partsAsWritten(parts), values }
}

/** Parts that come from no template have no escapes to undo: `sql` was called as a function. */
function partsAsWritten(parts: readonly string[] & { readonly raw?: readonly string[] }): string[] {
  return parts.raw?.map((part) => part.replace(/\\(`|\$\{)/g, '$1')) ?? [...parts]
}

/** Whether a value was made by the `sql` tag, maybe of another copy of this module: jobs are loaded separately. */
export function isSql(value: unknown): value is Sql {
  return typeof value === 'object' && value !== null && brand in value
}

/** Text with numbered parameters and the values for them, as the Postgres driver takes them. */
export interface CompiledSql {
  readonly text: string
  readonly values: readonly unknown[]
}

/** Well below what a Postgres statement or a JavaScript string can hold. */
const maxCharacters = 10_000_000

/**
 * Numbers the parameters of a piece of SQL, from `$firstParameter` on. Without recursion: pieces joined in a loop are
 * nested thousands deep. Throws a Problem if the text gets longer than a statement can be.
 */
export function compileSql(piece: Sql, firstParameter: number): CompiledSql {
  const values: unknown[] = []
  const texts: string[] = []
  let characters = 0
  const write = (text: string) => {
    // Plus one, so that a piece without any text counts as well.
    characters += text.length + 1
    if (characters > maxCharacters)
      throw new Problem(
        'invalid',
        `The SQL is longer than ${maxCharacters} characters: write it shorter, or bind an array.`,
      )
    texts.push(text)
  }
  const open = [{ sql: piece, next: 0 }]
  for (let innermost = open.at(-1); innermost; innermost = open.at(-1)) {
    const { sql, next } = innermost
    const part = sql.parts[next]
    if (part === undefined) {
      open.pop()
      continue
    }
    innermost.next += 1
    write(part)
    if (next === sql.parts.length - 1) continue
    const value = sql.values[next] as SqlValue
    if (isSql(value)) open.push({ sql: value, next: 0 })
    else write(`$${firstParameter + values.push(bindable(value)) - 1}`)
  }
  return { text: texts.join(''), values }
}

/** How many values a piece of SQL binds. Each item of an array counts. */
export function countValues(piece: Sql): number {
  const count = (value: unknown): number =>
    Array.isArray(value) ? value.reduce((sum, item) => sum + count(item), 0) : 1
  return compileSql(piece, 1).values.reduce<number>((sum, value) => sum + count(value), 0)
}

function bindable(value: SqlValue): unknown {
  if (value instanceof Date) return value.toISOString()
  if (Array.isArray(value)) return value.map(bindable)
  if (typeof value === 'bigint' || typeof value === 'number') return String(value)
  return value
}

/** The most dimensions of an array in Postgres. */
const maxDimensions = 6

function refuseUnbindable(value: unknown, depth = 0): void {
  if (Array.isArray(value)) {
    if (depth === maxDimensions)
      throw new TypeError(`sql\`\` cannot bind this array: Postgres takes ${maxDimensions} dimensions at most.`)
    for (const item of value) refuseUnbindable(item, depth + 1)
  } else if (isSql(value)) {
    if (depth > 0) throw new TypeError('sql`` cannot bind a piece of SQL inside an array: write the list out in SQL.')
  } else if (value instanceof Date) {
    if (Number.isNaN(value.getTime())) throw new TypeError('sql`` cannot bind this date: it is not a valid date.')
  } else if (typeof value === 'number') {
    if (!Number.isFinite(value)) throw new TypeError(`sql\`\` cannot bind ${value}: it is not a finite number.`)
  } else if (value !== null && !['string', 'bigint', 'boolean'].includes(typeof value)) {
    throw new TypeError(
      `sql\`\` cannot bind ${value === undefined ? 'undefined' : `${typeof value === 'object' ? 'an' : 'a'} ${typeof value}`}: give a string, number, bigint, boolean, null, Date, an array of these, or another sql\`\` piece.`,
    )
  }
}
