import type { QueryResult, QueryResultRow } from 'pg'
import { z } from 'zod'

/** Runs statements: a pool, or one of its sessions in a transaction. */
export interface Queryable {
  query<R extends QueryResultRow>(text: string, values?: readonly unknown[]): Promise<QueryResult<R>>
}

/** Place for statements that do not use the control schema. */
export interface Connection {
  readonly db: Queryable
}

/** Place for any statement, with the quoted name of the control schema. */
export interface Place extends Connection {
  readonly s: string
}

/** Result of a statement, as the driver returns it. */
type Result = Pick<QueryResult<QueryResultRow>, 'rows'>

/** The rows of a named statement: their shape, and how to read them from the driver's result. */
export interface Rows<Row> {
  readonly name: string
  readonly shape: z.ZodObject
  /** All rows. */
  read(result: Result): Row[]
  /** The first row; null if there is none. */
  readFirst(result: Result): Row | null
  /** The first row. Throws an Error with the statement's name if there is none. */
  readOne(result: Result): Row
}

/** A named statement with the shape of its rows. A test compares the shape with Postgres' description. */
export interface Statement<Row, Where extends Connection = Place> extends Rows<Row> {
  readonly text: (s: string) => string
  /** All rows. */
  readonly rows: (where: Where, values?: readonly unknown[]) => Promise<Row[]>
  /** The first row; null if there is none. */
  readonly first: (where: Where, values?: readonly unknown[]) => Promise<Row | null>
  /** The first row. Throws an Error with the statement's name if there is none. */
  readonly one: (where: Where, values?: readonly unknown[]) => Promise<Row>
}

/** A row of a statement. */
export type RowOf<S> = S extends Rows<infer Row> ? Readonly<Row> : never

/** A named statement that returns no rows. */
export interface Command {
  readonly name: string
  readonly shape: null
  readonly text: (s: string) => string
  /** Returns the number of rows written. */
  run(place: Place, values?: readonly unknown[]): Promise<number>
}

/** All statements, for the test that has Postgres describe each. */
export const statements: Array<Statement<unknown> | Command> = []

const parsed = new WeakSet<z.ZodType>()

/** A column of type jsonb. `schema` parses its values, and an Error names what does not fit. */
export function jsonb<S extends z.ZodType>(schema: S): S {
  parsed.add(schema)
  return schema
}

/** Whether a column was declared by `jsonb`, plain or nullable. */
export function isJsonb(column: z.ZodType): boolean {
  return parsed.has(column) || (column instanceof z.ZodNullable && isJsonb(column.unwrap() as z.ZodType))
}

type RowOfShape<Shape extends z.ZodRawShape> = z.output<z.ZodObject<Shape>>

/**
 * Declares a statement: its columns by name, and its text, as a function of the quoted control schema if it uses that.
 * Columns of Postgres' own types are used as the driver returns them (bigint and numeric as string, timestamptz as
 * Date): a test compares them. jsonb is parsed.
 */
export function statement<Shape extends z.ZodRawShape>(
  name: string,
  columns: Shape,
  text: string,
): Statement<RowOfShape<Shape>, Connection>
export function statement<Shape extends z.ZodRawShape>(
  name: string,
  columns: Shape,
  text: (s: string) => string,
): Statement<RowOfShape<Shape>>
export function statement<Shape extends z.ZodRawShape>(
  name: string,
  columns: Shape,
  text: string | ((s: string) => string),
): Statement<RowOfShape<Shape>> {
  type Row = RowOfShape<Shape>
  const documents = Object.entries<z.ZodType>(columns as never).filter(([, column]) => isJsonb(column))
  const given = rowsOf<Row>(name, z.object(columns), (row) => {
    for (const [column, schema] of documents) row[column] = parse(name, column, schema, row[column])
    return row as Row
  })
  const textOf = typeof text === 'string' ? () => text : text
  const query = ({ db, s = '' }: Connection & Partial<Place>, values: readonly unknown[] = []) =>
    db.query(textOf(s), values)
  const made: Statement<Row> = {
    ...given,
    text: textOf,
    rows: async (where, values) => given.read(await query(where, values)),
    first: async (where, values) => given.readFirst(await query(where, values)),
    one: async (where, values) => given.readOne(await query(where, values)),
  }
  statements.push(made)
  return made
}

/**
 * Declares the rows of a statement that is built from a job or a table. No test can have Postgres describe it, so each
 * row is parsed completely.
 */
export function declared<Shape extends z.ZodRawShape>(name: string, columns: Shape): Rows<RowOfShape<Shape>> {
  const shape = z.object(columns)
  return rowsOf(name, shape, (row) => parse(name, 'row', shape, row))
}

/** Declares a statement that returns no rows. */
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

/** Returns the first row. Throws an Error with the statement's name if there is none. */
export function requireRow<Row>({ name }: Pick<Rows<Row>, 'name'>, [row]: readonly Row[]): Row {
  if (row === undefined)
    throw new Error(`Statement ${name} returned no row, but there is always one. What it reads was changed by hand.`)
  return row
}

function rowsOf<Row>(name: string, shape: z.ZodObject, readRow: (row: QueryResultRow) => Row): Rows<Row> {
  const read = ({ rows }: Result) => rows.map(readRow)
  return {
    name,
    shape,
    read,
    readFirst: (result) => read(result)[0] ?? null,
    readOne: (result) => requireRow({ name }, read(result)),
  }
}

function parse<S extends z.ZodType>(name: string, what: string, schema: S, value: unknown): z.output<S> {
  const result = schema.safeParse(value)
  if (result.success) return result.data
  throw new Error(`Statement ${name} returned a ${what} that evenkeel did not write: ${z.prettifyError(result.error)}`)
}
