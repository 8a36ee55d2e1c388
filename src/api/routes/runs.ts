import { z } from 'zod'
import { Problem } from '../../core/errors.ts'
import { partialRunOptions } from '../../core/options.ts'
import { runStatuses } from '../../core/run.ts'
import { changeOptions, noSuchRun } from '../../store/lifecycle.ts'
import { findRun, listRuns } from '../../store/runs.ts'
import type { App } from '../app.ts'
import type { ApiDeps } from '../deps.ts'
import { dryRun } from '../dryrun.ts'
import { actorOf } from '../plugins/authentication.ts'
import { presentRun, presentRuns } from '../present.ts'
import { dryRunSchema, problemSchema, runIdParams, runSchema, startRunSchema } from '../schemas.ts'
import { dispatch, startRun } from '../start.ts'

const listQuery = z.object({
  job: z.string().optional(),
  status: z.enum(runStatuses).optional(),
  before: z.string().optional().describe('The last id of the page before'),
  limit: z.coerce.number().int().min(1).max(200).default(50),
})

/** Starting, looking at and adjusting runs. */
export function runRoutes(app: App, deps: ApiDeps): void {
  const { control } = deps

  app.post(
    '/runs',
    {
      schema: {
        body: startRunSchema,
        headers: z.object({ 'idempotency-key': z.string().min(1).max(255).optional() }),
        response: {
          200: z.union([runSchema, dryRunSchema]),
          201: runSchema,
          404: problemSchema,
          409: problemSchema,
          422: problemSchema,
        },
      },
    },
    async (request, reply) => {
      if (request.body.dryRun) return reply.code(200).send(await dryRun(deps, request.body))
      const key = request.headers['idempotency-key'] ?? null
      const { run, created } = await startRun(deps, request.body, key, actorOf(request))
      // A repeated key gets what the first call got; that it was not created anew is in the header.
      if (!created) reply.header('idempotent-replayed', 'true')
      reply.header('location', `/runs/${run.id}`).header('etag', etag(run.version))
      return reply.code(201).send(await presentRun(control, run))
    },
  )

  app.get(
    '/runs',
    {
      schema: {
        querystring: listQuery,
        response: { 200: z.object({ runs: z.array(runSchema), next: z.string().nullable() }) },
      },
    },
    async (request) => {
      const { job = null, status = null, before = null, limit } = request.query
      const runs = await listRuns(control, { job, status, before, limit })
      return { runs: await presentRuns(control, runs), next: runs.length === limit ? (runs.at(-1)?.id ?? null) : null }
    },
  )

  app.get(
    '/runs/:id',
    { schema: { params: runIdParams, response: { 200: runSchema, 404: problemSchema } } },
    async (request, reply) => {
      const run = await findRun(control, request.params.id)
      if (!run) throw noSuchRun(request.params.id)
      return reply.header('etag', etag(run.version)).send(await presentRun(control, run))
    },
  )

  app.patch(
    '/runs/:id',
    {
      schema: {
        params: runIdParams,
        headers: z.object({ 'if-match': z.string().optional() }),
        body: partialRunOptions,
        response: { 200: runSchema, 404: problemSchema, 409: problemSchema, 412: problemSchema },
      },
    },
    async (request, reply) => {
      const actor = actorOf(request)
      const run = await changeOptions(
        control,
        request.params.id,
        request.body,
        versionOf(request.headers['if-match']),
        actor,
      )
      await dispatch(deps, run.id, actor)
      deps.log.info({ run: run.id, actor, options: request.body }, 'options of the run changed')
      return reply.header('etag', etag(run.version)).send(await presentRun(control, run))
    },
  )
}

export function etag(version: number): string {
  return `"${version}"`
}

/** The version that If-Match names; null where it is absent or `*`. */
function versionOf(header: string | undefined): number | null {
  if (header === undefined || header.trim() === '*') return null
  const version = /^(?:W\/)?"?(\d+)"?$/.exec(header.trim())?.[1]
  if (version === undefined) {
    throw new Problem(
      'invalid',
      `If-Match ${JSON.stringify(header)} is not a version: send the ETag of the run, for instance "3".`,
    )
  }
  return Number(version)
}
