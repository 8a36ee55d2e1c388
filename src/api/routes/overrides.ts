import { z } from 'zod'
import { strictObject } from '../../core/job/strict-object.ts'
import { signalNames } from '../../core/throttle/signal.ts'
import { transactInAll } from '../../runs/databases.ts'
import { runSchema } from '../../runs/run-schema.ts'
import { findShardedRun, selectShards } from '../../runs/shards.ts'
import { viewRun } from '../../runs/view.ts'
import { changeOverride } from '../../store/holds.ts'
import type { ApiDeps } from '../deps.ts'
import { actorOf } from '../plugins/authentication.ts'
import { partQuery, problemSchema, runIdParams } from '../schemas.ts'
import type { App } from '../server.ts'
import { adjustable, etag } from './runs.ts'

const overridable = z.enum([...signalNames, 'schedule'])
const longestSeconds = 24 * 3600

const overrideBody = strictObject({
  signal: overridable,
  reason: z.string().min(1).max(1000).describe('Recorded in the events of the run'),
  seconds: z.number().min(1).max(longestSeconds).describe('Duration, after which the override ends by itself'),
}).meta({ id: 'NewOverride' })

const answers = { 200: runSchema, 404: problemSchema, 409: problemSchema }

/** Overrides of one signal, with a reason and an end. */
export function overrideRoutes(app: App, { databases, log }: ApiDeps): void {
  app.post(
    '/runs/:id/overrides',
    {
      schema: {
        operationId: 'overrideSignal',
        summary: 'Let a run ignore a signal for some time',
        tags: ['runs'],
        params: runIdParams,
        querystring: partQuery,
        body: overrideBody,
        response: answers,
      },
    },
    async (request, reply) => {
      const { id } = request.params
      const { database } = request.query
      const { signal, reason, seconds } = request.body
      const actor = actorOf(request)
      const body = await change(id, database, signal, { reason, by: actor, seconds }, actor)
      log.warn({ run: id, actor, database, signal, reason, seconds }, 'override of a signal set')
      return reply.header('etag', etag(body.version)).send(body)
    },
  )

  app.delete(
    '/runs/:id/overrides/:signal',
    {
      schema: {
        operationId: 'endOverride',
        summary: 'End the override of a signal',
        tags: ['runs'],
        params: runIdParams.extend({ signal: overridable }),
        querystring: partQuery,
        response: answers,
      },
    },
    async (request, reply) => {
      const { id, signal } = request.params
      const { database } = request.query
      const actor = actorOf(request)
      const body = await change(id, database, signal, null, actor)
      log.info({ run: id, actor, database, signal }, 'override of a signal ended')
      return reply.header('etag', etag(body.version)).send(body)
    },
  )

  async function change(
    id: string,
    database: string | undefined,
    signal: z.output<typeof overridable>,
    override: { reason: string; by: string; seconds: number } | null,
    actor: string,
  ) {
    const run = await findShardedRun(databases, id, database)
    await transactInAll(adjustable(selectShards(run, database)), (_part, tx) =>
      changeOverride(tx, id, signal, override, actor),
    )
    return viewRun(await findShardedRun(databases, id, run.shards[0].db.name))
  }
}
