import { z } from 'zod'
import { Problem } from '../errors.ts'
import { isSql, type Sql } from '../sql/template.ts'
import { callAuthor, columnName, declareJob, type JobDefinition, type ParamsOf } from './job.ts'

/** Column name (unquoted, as stored) to its new value. */
type ColumnValues = Readonly<Record<string, Sql>>

/** A job that sets columns. */
export interface UpdateJob<P extends z.ZodObject = z.ZodObject> extends JobDefinition<P> {
  readonly kind: 'update'
  readonly set: ColumnValues | ((params: ParamsOf<P>) => ColumnValues)
}

/** A job that sets columns, as its author writes it: one file in `jobs/`, reviewed like code. */
export type UpdateDefinition<P extends z.ZodObject = z.ZodObject> = Omit<UpdateJob<P>, 'kind'>

const fields = {
  set: z.custom(
    (value) => typeof value === 'function' || (typeof value === 'object' && value !== null),
    'set must be { column: sql`…` }',
  ),
}

/** Declares a backfill that sets columns. Throws a Problem (`invalid`) that names every fault. */
export function defineJob<P extends z.ZodObject = z.ZodObject<Record<never, never>>>(
  definition: UpdateDefinition<P>,
): UpdateJob<P> {
  const job = declareJob<UpdateJob<P>>({ ...definition, kind: 'update' }, fields)
  if (typeof job.set === 'object') checkSet(job.set)
  return job
}

/** The columns that an update writes, each with its new value. Throws a Problem if `set` is not valid. */
export function resolveSet(
  job: UpdateJob,
  params: Record<string, unknown>,
): ReadonlyArray<readonly [column: string, value: Sql]> {
  const set = callAuthor(job, 'set', () => (typeof job.set === 'function' ? job.set(params) : job.set))
  if (!set) throw new Problem('invalid', `set of job ${job.name} returned ${set}, not { column: sql\`…\` }.`)
  checkSet(set)
  return Object.entries(set)
}

function checkSet(set: Readonly<Record<string, Sql>>): void {
  const entries = Object.entries(set)
  if (entries.length === 0) throw new Problem('invalid', 'set is empty: name at least one column to write.')
  for (const [name, value] of entries) {
    if (!columnName.safeParse(name).success) {
      throw new Problem('invalid', `set names a column ${JSON.stringify(name)}: a name has 1 to 63 characters.`)
    }
    if (!isSql(value)) {
      throw new Problem('invalid', `set.${name} is not sql\`…\`: a plain value is written as sql\`\${value}\`.`)
    }
  }
}
