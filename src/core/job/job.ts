import { createHash } from 'node:crypto'
import { z } from 'zod'
import { messageOf, Problem } from '../errors.ts'
import { parseTableName } from '../sql/identifier.ts'
import { compileSql, isSql, type Sql } from '../sql/template.ts'
import { type PartialRunOptions, partialRunOptions } from './options.ts'
import { strictObject } from './strict-object.ts'

const brand = Symbol.for('evenkeel.job')

/** A job's parameters as its functions get them: parsed, with defaults filled in. */
export type ParamsOf<P extends z.ZodObject> = z.output<P>

/** The fields of every job. A kind adds its own. */
export interface JobDefinition<P extends z.ZodObject = z.ZodObject> {
  /** The name of a kind: what the job does to the rows. */
  readonly kind: string
  /** Lower-case letters, digits, `-` and `_`. A run is started by this name. */
  readonly name: string
  readonly description?: string
  /** As written in SQL, quotes included: `'users'`, `'public.users'`, `'"Odd S"."Odd ""T"'`. */
  readonly table: string
  /** The columns that order the table, up to four. Default: the primary key. */
  readonly key?: readonly [string, ...string[]]
  /** A zod object. A run whose parameters do not fit is refused. */
  readonly params?: P
  /** The rows that still need the work. The work must make it false: that proves the end. */
  readonly where?: Sql | ((params: ParamsOf<P>) => Sql)
  readonly options?: PartialRunOptions
}

/**
 * Declares a job of a kind. The kind's `fields` come in addition to those of all jobs. Checks here what the types
 * cannot, so that a bad file is found when it is loaded. Throws a Problem (`invalid`) that names every fault.
 */
export function declareJob<D extends Pick<JobDefinition, 'kind' | 'name' | 'table'>>(
  definition: D,
  fields: z.core.$ZodLooseShape,
): D {
  const shape = strictObject({ ...commonFields, ...fields }).safeParse(definition)
  if (!shape.success) throw new Problem('invalid', `The job is not well formed.\n${z.prettifyError(shape.error)}`)
  parseTableName(definition.table)
  return Object.defineProperty({ ...definition }, brand, { value: true })
}

/** Whether a value was made by `defineJob`, maybe of another copy of this module: jobs are loaded separately. */
export function isJob(value: unknown): value is JobDefinition {
  return typeof value === 'object' && value !== null && brand in value
}

/**
 * Parses parameters with the job's schema and fills in defaults. Throws a Problem that names each parameter that does
 * not fit, or that tells the error of the author's own check. That check may be async, and no other code would see it
 * fail.
 */
export async function readParams(job: JobDefinition, params: unknown): Promise<Record<string, unknown>> {
  const schema = job.params ?? strictObject({})
  const given = await schema.safeParseAsync(params ?? {}).catch((error: unknown) => {
    throw thrownBy(job, 'params', error)
  })
  if (given.success) return given.data
  throw new Problem('invalid', `The parameters do not fit job ${job.name}.\n${z.prettifyError(given.error)}`, {
    issues: given.error.issues.map((issue) => ({ path: issue.path.join('.'), message: issue.message })),
  })
}

/** The job's `where` for these parameters. Throws a Problem if its function does not return SQL. */
export function resolveWhere(job: JobDefinition, params: Record<string, unknown>): Sql | null {
  const { where = null } = job
  const resolved = callAuthor(job, 'where', () => (typeof where === 'function' ? where(params) : where))
  if (resolved !== null && !isSql(resolved))
    throw new Problem('invalid', `where of job ${job.name} did not return sql\`\`.`)
  return resolved
}

/**
 * The parameters that Postgres' protocol allows in a statement, and those that a job may use: evenkeel needs some
 * itself.
 */
const maxParameters = 65_535
const maxValues = maxParameters - 35

/** All pieces of a job's SQL go into one statement. Throws a Problem if they bind more values than it takes. */
export function refuseTooManyValues({ name }: JobDefinition, pieces: readonly Sql[]): void {
  const count = pieces.reduce((sum, piece) => sum + compileSql(piece, 1).values.length, 0)
  if (count <= maxValues) return
  throw new Problem(
    'invalid',
    `The SQL of job ${name} binds ${count} values, and a statement of Postgres takes ${maxParameters}, some of which evenkeel needs: bind one array, = ANY(\${ids}), in place of a list.`,
  )
}

/** Calls a function of the author's. If it throws, the Problem names the function and the job. */
export function callAuthor<T>(job: JobDefinition, part: string, give: () => T): T {
  try {
    const given = give()
    // A promise is refused later for being one. Its rejection must not go unhandled.
    if (given instanceof Promise) given.catch(() => undefined)
    return given
  } catch (error) {
    throw thrownBy(job, part, error)
  }
}

function thrownBy({ name }: JobDefinition, part: string, error: unknown): Problem {
  const throws = part === 'params' ? 'throw' : 'throws'
  return new Problem(
    'invalid',
    `${part} of job ${name} ${throws} for these parameters: ${messageOf(error)}`,
    {},
    { cause: error },
  )
}

/** Hashes JSON with sorted keys: the same parameters give the same hash, however they were written or stored. */
export function hashParams(params: unknown): string {
  const sorted = JSON.stringify(params, (_key, value: unknown) =>
    value !== null && typeof value === 'object' && !Array.isArray(value)
      ? Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)))
      : typeof value === 'bigint'
        ? String(value)
        : value,
  )
  return createHash('sha256').update(sorted).digest('hex')
}

/** The name of a column. */
export const columnName = z.string().min(1).max(63)

const commonFields = {
  kind: z.string(),
  name: z
    .string()
    .regex(
      /^[a-z0-9][a-z0-9_-]{0,62}$/,
      'lower-case letters, digits, - and _, at most 63, beginning with a letter or digit',
    ),
  description: z.string().optional(),
  table: z.string(),
  key: z.array(columnName).min(1).max(4, 'a key has at most four columns').optional(),
  params: z.custom((value) => value instanceof z.ZodObject, 'params must be a zod object: z.object({ … })').optional(),
  where: z.custom((value) => isSql(value) || typeof value === 'function', 'where must be sql`…`').optional(),
  options: partialRunOptions.optional(),
}
