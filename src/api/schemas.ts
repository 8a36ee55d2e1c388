import { z } from 'zod'
import { partialRunOptions } from '../core/job/options.ts'

export const problemSchema = z
  .looseObject({
    type: z.string(),
    title: z.string(),
    status: z.int(),
    detail: z.string(),
    errors: z
      .array(z.object({ path: z.string(), message: z.string() }))
      .optional()
      .describe('Invalid values of the request, each with its path'),
  })
  .meta({ id: 'Problem', description: 'RFC 9457 problem details' })

export const jobSchema = z
  .object({
    name: z.string(),
    kind: z.string().describe('What the job does to the rows'),
    description: z.string().nullable(),
    file: z.string(),
    table: z.string(),
    key: z.array(z.string()).nullable().describe('Null: the primary key'),
    options: partialRunOptions,
    params: z.unknown().describe('JSON Schema of the parameters'),
  })
  .meta({ id: 'Job' })

export const brokenFileSchema = z
  .object({ file: z.string(), line: z.int().nullable(), error: z.string() })
  .meta({ id: 'BrokenFile' })

export const runIdParams = z.object({ id: z.string().max(100) })

export const partQuery = z.object({
  database: z.string().optional().describe('One of DATABASES: selects the shard of the run in it'),
})
