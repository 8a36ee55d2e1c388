import { createHash } from 'node:crypto'
import { z } from 'zod'
import { messageOf, Problem } from '../errors.ts'
import { parseTableName } from '../sql/identifier.ts'
import { compileSql, isSql, type Sql } from '../sql/template.ts'
import { type PartialRunOptions, partialRunOptions } from './options.ts'
import { strictObject } from './strict-object.ts'

const brand = Symbol.for('evenkeel.job')

/** The parameters of a job as its functions see them: parsed, with defaults filled in. */
export type ParamsOf<P extends z.ZodObject> = z.output<P>

/** A backfill as its author writes it: one file in `jobs/`, reviewed like code. */
export interface JobDefinition<P extends z.ZodObject = z.ZodObject> {
  /** Lower-case letters, digits, `-` and `_`; what people type to start it. */
  readonly name: string
  readonly description?: string
  /** As one writes it in SQL, quotes included: `'users'`, `'public.users'`, `'"Odd S"."Odd ""T"'`. */
  readonly table: string
  /** The columns that order the table, up to four; the primary key where absent. */
  readonly key?: readonly [string, ...string[]]
  /** A zod object; a run is refused when its parameters do not fit. */
  readonly params?: P
  /** Which rows still need the work. It must become false by `set`: that is how the end is proven. */
  readonly where?: Sql | ((params: ParamsOf<P>) => Sql)
  /** Column name (as it is stored, unquoted) to its new value. */
  readonly set: Readonly<Record<string, Sql>> | ((params: ParamsOf<P>) => Readonly<Record<string, Sql>>)
  readonly options?: PartialRunOptions
}

/** Declares a backfill. What the types cannot see is checked here, so that a bad file is found when it is loaded. */
export function defineJob<P extends z.ZodObject = z.ZodObject<Record<never, never>>>(
  definition: JobDefinition<P>,
): JobDefinition<P> {
  const shape = definitionShape.safeParse(definition)
  if (!shape.success) throw new Problem('invalid', `The job is not well formed.\n${z.prettifyError(shape.error)}`)
  parseTableName(definition.table)
  if (definition.set !== null && typeof definition.set === 'object') checkSet(definition.set)
  return Object.defineProperty({ ...definition }, brand, { value: true })
}

/** Whether a value was made by `defineJob` (also by another copy of this module: jobs are loaded separately). */
export function isJob(value: unknown): value is JobDefinition {
  return typeof value === 'object' && value !== null && brand in value
}

/** A job with its parameters put in: everything the engine needs to know of it. */
export interface ResolvedJob {
  readonly name: string
  /** As the job's schema returned them: defaults filled in. */
  readonly params: unknown
  readonly table: string
  readonly key: readonly string[] | null
  readonly where: Sql | null
  readonly set: ReadonlyArray<readonly [column: string, value: Sql]>
  /** Hash of what the job does (not of its description or options): changes when a resumed run would do other work. */
  readonly fingerprint: string
}

/**
 * Parameters as the job's schema returns them, defaults filled in. Fails with a Problem that names each parameter that does not
 * fit; or says what a check of the author's own has thrown, which may be async: nobody else would hear of its failing.
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

/** Puts parameters, as `readParams` gives them, into a job. Throws a Problem where the job does not take them. */
export function resolveJob(job: JobDefinition, params: Record<string, unknown>): ResolvedJob {
  const where = written(job, 'where', () => (typeof job.where === 'function' ? job.where(params) : (job.where ?? null)))
  if (where !== null && !isSql(where)) throw new Problem('invalid', `where of job ${job.name} did not return sql\`\`.`)
  const set = written(job, 'set', () => (typeof job.set === 'function' ? job.set(params) : job.set))
  if (!set) throw new Problem('invalid', `set of job ${job.name} returned ${set}, not { column: sql\`…\` }.`)
  checkSet(set)
  const expressions = Object.values(set)
  refuseTooManyValues(job, where === null ? expressions : [where, ...expressions])
  const work = { name: job.name, table: job.table, key: job.key ?? null, where, set: Object.entries(set) }
  return { ...work, params, fingerprint: fingerprintOf(work) }
}

/** Parameters of a statement, in its protocol; and how many of them a job can have, for some are evenkeel's own. */
const maxParameters = 65_535
const maxValues = maxParameters - 35

/** `where` and `set` stand in one statement. */
function refuseTooManyValues({ name }: JobDefinition, pieces: readonly Sql[]): void {
  const count = pieces.reduce((sum, piece) => sum + compileSql(piece, 1).values.length, 0)
  if (count <= maxValues) return
  throw new Problem(
    'invalid',
    `where and set of job ${name} bind ${count} values, and a statement of Postgres takes ${maxParameters}, some of which evenkeel needs: bind one array, = ANY(\${ids}), in place of a list.`,
  )
}

/** What the author's own function gives; what it throws is his to mend, and said to be. */
function written<T>(job: JobDefinition, part: 'where' | 'set', give: () => T): T {
  try {
    const given = give()
    // It is refused for being one, and must not fail unheard besides.
    if (given instanceof Promise) given.catch(() => undefined)
    return given
  } catch (error) {
    throw thrownBy(job, part, error)
  }
}

function thrownBy({ name }: JobDefinition, part: 'params' | 'where' | 'set', error: unknown): Problem {
  const throws = part === 'params' ? 'throw' : 'throws'
  return new Problem(
    'invalid',
    `${part} of job ${name} ${throws} for these parameters: ${messageOf(error)}`,
    {},
    { cause: error },
  )
}

function fingerprintOf(work: Omit<ResolvedJob, 'params' | 'fingerprint'>): string {
  const plain = {
    ...work,
    where: work.where && compileSql(work.where, 1),
    set: work.set.map(([column, value]) => [column, compileSql(value, 1)]),
  }
  return createHash('sha256').update(JSON.stringify(plain)).digest('hex')
}

/** JSON with sorted keys, hashed: the same parameters give the same hash, however they were written down or stored. */
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

const column = z.string().min(1).max(63)
const definitionShape = strictObject({
  name: z
    .string()
    .regex(
      /^[a-z0-9][a-z0-9_-]{0,62}$/,
      'lower-case letters, digits, - and _, at most 63, beginning with a letter or digit',
    ),
  description: z.string().optional(),
  table: z.string(),
  key: z.array(column).min(1).max(4, 'a key has at most four columns').optional(),
  params: z.custom((value) => value instanceof z.ZodObject, 'params must be a zod object: z.object({ … })').optional(),
  where: z.custom((value) => isSql(value) || typeof value === 'function', 'where must be sql`…`').optional(),
  set: z.custom(
    (value) => typeof value === 'function' || (typeof value === 'object' && value !== null),
    'set must be { column: sql`…` }',
  ),
  options: partialRunOptions.optional(),
})

function checkSet(set: Readonly<Record<string, Sql>>): void {
  const entries = Object.entries(set)
  if (entries.length === 0) throw new Problem('invalid', 'set is empty: name at least one column to write.')
  for (const [name, value] of entries) {
    if (!column.safeParse(name).success) {
      throw new Problem('invalid', `set names a column ${JSON.stringify(name)}: a name has 1 to 63 characters.`)
    }
    if (!isSql(value)) {
      throw new Problem('invalid', `set.${name} is not sql\`…\`: a plain value is written as sql\`\${value}\`.`)
    }
  }
}
