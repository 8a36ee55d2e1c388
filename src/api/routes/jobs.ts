import { z } from 'zod'
import { Problem } from '../../core/errors.ts'
import type { JobDefinition } from '../../core/job/job.ts'
import type { ApiDeps } from '../deps.ts'
import { brokenFileSchema, jobSchema, problemSchema } from '../schemas.ts'
import type { App } from '../server.ts'

/** Job definitions as they are in the jobs folder now. */
export function jobRoutes(app: App, { registry }: ApiDeps): void {
  app.get(
    '/jobs',
    {
      schema: {
        operationId: 'listJobs',
        summary: 'All jobs, and files that fail to load',
        tags: ['jobs'],
        response: { 200: z.object({ jobs: z.array(jobSchema), broken: z.array(brokenFileSchema) }) },
      },
    },
    async () => {
      const { jobs, broken } = await registry.read()
      return { jobs: jobs.map(({ file, job }) => presentJob(file, job)), broken: [...broken] }
    },
  )

  app.get(
    '/jobs/:name',
    {
      schema: {
        operationId: 'getJob',
        summary: 'One job and its parameters',
        tags: ['jobs'],
        params: z.object({ name: z.string().max(100) }),
        response: { 200: jobSchema, 404: problemSchema },
      },
    },
    async (request) => {
      const { name } = request.params
      const job = await registry.find(name)
      const entry = (await registry.read()).jobs.find((candidate) => candidate.job === job)
      if (!entry) throw new Problem('not-found', `Job ${name} was removed while it was read.`)
      return presentJob(entry.file, job)
    },
  )
}

function presentJob(file: string, job: JobDefinition): z.output<typeof jobSchema> {
  return {
    name: job.name,
    kind: job.kind,
    description: job.description ?? null,
    file,
    table: job.table,
    key: job.key ? [...job.key] : null,
    options: job.options ?? {},
    params: z.toJSONSchema(job.params ?? z.strictObject({}), { io: 'input', unrepresentable: 'any' }),
  }
}
