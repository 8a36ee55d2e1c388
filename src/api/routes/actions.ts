import { restartShards, stopShards } from '../../runs/control.ts'
import { asBrakes } from '../../runs/database.ts'
import { brakeBody, restartBody } from '../../runs/request-schemas.ts'
import { runSchema } from '../../runs/run-schema.ts'
import { findShardedRun, selectShards } from '../../runs/shards.ts'
import { viewRun } from '../../runs/view.ts'
import type { ApiDeps } from '../deps.ts'
import { actorOf } from '../plugins/authentication.ts'
import { partQuery, problemSchema, runIdParams } from '../schemas.ts'
import type { App } from '../server.ts'
import { etag } from './runs.ts'

const stopping = {
  pause: 'Pause a run: once its status is paused, no batch is in flight',
  cancel: 'Cancel a run for good',
}
const restarting = {
  resume: 'Resume a paused run',
  retry: 'Continue a failed run from where it failed',
}

const answers = { 200: runSchema, 404: problemSchema, 409: problemSchema }

/** The actions on one run. They apply to all shards for which they are legal, or to the shard in one database. */
export function actionRoutes(app: App, { databases, log }: ApiDeps): void {
  const brakes = asBrakes(databases)
  for (const event of ['pause', 'cancel'] as const) {
    app.post(
      `/runs/:id/${event}`,
      {
        config: { brake: true },
        schema: {
          operationId: `${event}Run`,
          summary: stopping[event],
          tags: ['runs'],
          params: runIdParams,
          querystring: partQuery,
          body: brakeBody,
          response: answers,
        },
      },
      async (request, reply) => {
        const { id } = request.params
        const actor = actorOf(request)
        const reason = request.body?.reason ?? null
        const run = await findShardedRun(brakes, id, request.query.database)
        await stopShards(run, selectShards(run, request.query.database), event, { actor, reason })
        const body = await viewRun(await findShardedRun(brakes, id, run.shards[0].db.name))
        log.info({ run: id, actor, status: body.status, reason }, `${event} requested for the run`)
        return reply.header('etag', etag(body.version)).send(body)
      },
    )
  }

  for (const event of ['resume', 'retry'] as const) {
    app.post(
      `/runs/:id/${event}`,
      {
        schema: {
          operationId: `${event}Run`,
          summary: restarting[event],
          tags: ['runs'],
          params: runIdParams,
          querystring: partQuery,
          body: restartBody,
          response: answers,
        },
      },
      async (request, reply) => {
        const { id } = request.params
        const actor = actorOf(request)
        const { reason = null, acceptJobChange = false } = request.body ?? {}
        const run = await findShardedRun(databases, id, request.query.database)
        await restartShards(run, selectShards(run, request.query.database), event, { actor, reason }, acceptJobChange)
        log.info({ run: id, actor, acceptJobChange }, `${event} requested for the run`)
        const body = await viewRun(await findShardedRun(databases, id, run.shards[0].db.name))
        return reply.header('etag', etag(body.version)).send(body)
      },
    )
  }
}
