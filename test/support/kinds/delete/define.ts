import type { z } from 'zod'
import { declareJob, type JobDefinition } from '../../../../src/core/job/job.ts'

/** A job that deletes the rows that match. */
export function defineDelete<P extends z.ZodObject>(definition: Omit<JobDefinition<P>, 'kind'>): JobDefinition<P> {
  return declareJob<JobDefinition<P>>({ ...definition, kind: 'delete' }, {})
}
