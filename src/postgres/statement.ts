import type { QueryResult, QueryResultRow } from 'pg'
import { z } from 'zod'

/** Whatever runs a statement: a pool, or one of its sessions inside a transaction. */
export interface Queryable {
  query<R extends QueryResultRow>(text: string, values?: readonly unknown[]): Promise<QueryResult<R>>
}

/** Where a statement runs, and in which control schema: its name, quoted. */
export interface Place {
  readonly db: Queryable
  readonly s: string
}

/** One statement under a name, with the shape of its rows. A test compares that shape with what Postgres describes. */
export interface Statement<Row> {
  readonly name: string
  readonly shape: z.ZodObject
  readonly text: (s: string) => string
  /** All rows. */
  rows(place: Place, values?: readonly unknown[]): Promise<Row[]>
  /** The first row; null where there is none. */
  first(place: Place, values?: readonly unknown[]): Promise<Row | null>
  /** The first row. Throws an Error that names the statement where there is none. */
  one(place: Place, values?: readonly unknown[]): Promise<Row>
}

/** One statement under a name that gives no rows. */
export interface Command {
  readonly name: string
  readonly shape: null
  readonly text: (s: string) => string
  /** Returns how many rows it has written. */
  run(place: Place, values?: readonly unknown[]): Promise<number>
}

/** Every statement that was made, for the test that has Postgres describe each. */
export const statements: Array<Statement<unknown> | Command> = []

const parsed = new WeakSet<z.ZodType>()

/** A column of type jsonb: what Postgres gives is parsed by `schema`, and an Error names what does not fit. */
export function jsonb<S extends z.ZodType>(schema: S): S {
  parsed.add(schema)
  return schema
}

/** Whether a column was declared by `jsonb`, as it is or nullable. */
export function isJsonb(column: z.ZodType): boolean {
  return parsed.has(column) || (column instanceof z.ZodNullable && isJsonb(column.unwrap() as z.ZodType))
}

/**
 * Declares a statement: its columns by name, and its text, given the quoted name of the control schema. Columns of Postgres' own types are
 * taken as the driver gives them (bigint and numeric as string, timestamptz as Date): the test has compared them. jsonb is parsed.
 */
export function statement<Shape extends z.ZodRawShape>(
  name: string,
  columns: Shape,
  text: (s: string) => string,
): Statement<z.output<z.ZodObject<Shape>>> {
  type Row = z.output<z.ZodObject<Shape>>
  const shape = z.object(columns)
  const documents = Object.entries<z.ZodType>(columns as never).filter(([, column]) => isJsonb(column))
  const read = (row: QueryResultRow): Row => {
    for (const [column, schema] of documents) row[column] = parse(name, column, schema, row[column])
    return row as Row
  }
  const rows = async ({ db, s }: Place, values: readonly unknown[] = []) =>
    (await db.query(text(s), values)).rows.map(read)
  const made: Statement<Row> = {
    name,
    shape,
    text,
    rows,
    async first(place, values) {
      return (await rows(place, values))[0] ?? null
    },
    async one(place, values) {
      const [row] = await rows(place, values)
      if (row === undefined) throw new Error(`Statement ${name} gave no row: the control schema was changed by hand.`)
      return row
    },
  }
  statements.push(made)
  return made
}

/** Declares a statement that gives no rows. */
export function command(name: string, text: (s: string) => string): Command {
  const made: Command = {
    name,
    shape: null,
    text,
    async run({ db, s }, values = []) {
      return (await db.query(text(s), values)).rowCount ?? 0
    },
  }
  statements.push(made)
  return made
}

function parse(name: string, column: string, schema: z.ZodType, value: unknown): unknown {
  const result = schema.safeParse(value)
  if (result.success) return result.data
  throw new Error(`Statement ${name} gave a ${column} that evenkeel did not write: ${z.prettifyError(result.error)}`)
}
