import { Problem } from '../errors.ts'

/** The only function that quotes SQL identifiers. No other code may put a name into a statement. */
export function quoteIdentifier(name: string): string {
  if (name === '' || name.includes('\0')) {
    throw new Problem('invalid', `${JSON.stringify(name)} is not an SQL identifier: it is empty or holds a NUL byte.`)
  }
  return `"${name.replaceAll('"', '""')}"`
}

/** A parsed table name. `schema` is null if the search path decides. */
export interface TableName {
  readonly schema: string | null
  readonly table: string
}

const part = /\s*(?:"((?:[^"]|"")+)"|([A-Za-z_\u0080-\uffff][\w$\u0080-\uffff]*))\s*/y

/**
 * Parses identifiers as written in SQL: unquoted parts fold to lower case, quoted ones stay as they are. Throws a
 * Problem if the text is not one name, or two joined by a dot.
 */
export function parseTableName(text: string): TableName {
  const names: string[] = []
  part.lastIndex = 0
  for (;;) {
    const match = part.exec(text)
    if (!match) break
    names.push(match[1] !== undefined ? match[1].replaceAll('""', '"') : foldCase(match[2] ?? ''))
    if (part.lastIndex === text.length) {
      const [first, second] = names
      if (names.length === 1 && first !== undefined) return { schema: null, table: first }
      if (names.length === 2 && first !== undefined && second !== undefined) return { schema: first, table: second }
      break
    }
    if (text[part.lastIndex] !== '.') break
    part.lastIndex += 1
  }
  throw new Problem(
    'invalid',
    `${JSON.stringify(text)} is not a table name. Write it as in SQL: users, public.users, or "Odd S"."Odd ""T""".`,
  )
}

/** Folds as Postgres does in UTF-8: letters beyond ASCII stay as they are. */
function foldCase(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => letter.toLowerCase())
}

/** The quoted form of a table name, for use in a statement. */
export function quoteTableName(name: TableName): string {
  const table = quoteIdentifier(name.table)
  return name.schema === null ? table : `${quoteIdentifier(name.schema)}.${table}`
}

/** The only function that quotes a text into a statement. The same under every `standard_conforming_strings`. */
export function quoteLiteral(text: string): string {
  return `E'${text.replaceAll('\\', '\\\\').replaceAll("'", "''")}'`
}
