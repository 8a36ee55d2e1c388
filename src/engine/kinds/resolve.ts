import { createHash } from 'node:crypto'
import { Problem } from '../../core/errors.ts'
import { type JobDefinition, refuseTooManyValues, resolveWhere } from '../../core/job/job.ts'
import { compileSql, type Sql } from '../../core/sql/template.ts'
import { builtInKinds } from './built-in.ts'
import type { JobKinds, JobWork, ResolvedJob } from './kind.ts'

/**
 * Applies parameters, as `readParams` returns them, to a job. Throws a Problem if the job does not take them, or its
 * kind is unknown.
 */
export function resolveJob(
  job: JobDefinition,
  params: Record<string, unknown>,
  kinds: JobKinds = builtInKinds,
): ResolvedJob {
  const kind = kinds.get(job.kind)
  if (!kind) {
    const names = [...kinds.keys()].join(', ')
    throw new Problem(
      'invalid',
      `Job ${job.name} is of kind ${job.kind}, which this release does not have. It has ${names}.`,
    )
  }
  const where = resolveWhere(job, params)
  const work = kind.resolve(job, params, where)
  const expressions = work.set.map(([, value]) => value)
  refuseTooManyValues(job, where === null ? expressions : [where, ...expressions])
  const { name, table } = job
  const key = job.key ?? null
  return {
    ...work,
    kind: kind.name,
    phases: kind.phases,
    name,
    params,
    table,
    key,
    where,
    fingerprint: fingerprint(job, where, work),
  }
}

function fingerprint({ kind, name, table, key }: JobDefinition, where: Sql | null, { set }: JobWork): string {
  const plain = {
    kind,
    name,
    table,
    key: key ?? null,
    where: where && compileSql(where, 1),
    set: set.map(([column, value]) => [column, compileSql(value, 1)]),
  }
  return createHash('sha256').update(JSON.stringify(plain)).digest('hex')
}
