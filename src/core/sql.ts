const brand = Symbol.for('evenkeel.sql')

/** What may be bound as a parameter. Objects go as JSON; dates as ISO 8601 with their zone, never in local time. */
export type SqlValue = string | number | bigint | boolean | null | Date | readonly SqlValue[] | Sql

/** A piece of SQL: its text in parts, and between the parts values that are bound, never spliced. */
export interface Sql {
  readonly [brand]: true
  readonly parts: readonly string[]
  readonly values: readonly SqlValue[]
}

/**
 * Writes SQL. Whatever stands in `${}` becomes a bound parameter, unless it is itself a piece of SQL.
 * Postgres infers a parameter's type from where it stands; where it cannot, cast it: `${days}::int`.
 */
export function sql(parts: TemplateStringsArray, ...values: SqlValue[]): Sql {
  for (const value of values) refuseUnbindable(value)
  return { [brand]: true, parts: [...parts], values }
}

/** Whether a value was made by the `sql` tag (also by another copy of this module: jobs are loaded separately). */
export function isSql(value: unknown): value is Sql {
  return typeof value === 'object' && value !== null && brand in value
}

/** Text with numbered parameters and the values for them, as the Postgres driver takes them. */
export interface CompiledSql {
  readonly text: string
  readonly values: readonly unknown[]
}

/** Numbers the parameters of a piece of SQL, the first one as `$firstParameter`. */
export function compileSql(piece: Sql, firstParameter: number): CompiledSql {
  const values: unknown[] = []
  const write = (sql: Sql): string =>
    sql.parts.reduce((text, part, index) => {
      const value = sql.values[index - 1] as SqlValue
      if (isSql(value)) return text + write(value) + part
      values.push(bindable(value))
      return `${text}$${firstParameter + values.length - 1}${part}`
    })
  return { text: write(piece), values }
}

function bindable(value: SqlValue): unknown {
  if (value instanceof Date) return value.toISOString()
  if (Array.isArray(value)) return value.map(bindable)
  if (typeof value === 'bigint' || typeof value === 'number') return String(value)
  return value
}

function refuseUnbindable(value: unknown, inArray = false): void {
  if (Array.isArray(value)) for (const item of value) refuseUnbindable(item, true)
  else if (isSql(value)) {
    if (inArray) throw new TypeError('sql`` cannot bind a piece of SQL inside an array: write the list out in SQL.')
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
