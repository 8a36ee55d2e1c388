import { z } from 'zod'
import { signalNames } from '../../core/signal.ts'
import { changeOverride } from '../../store/lifecycle.ts'
import type { App } from '../app.ts'
import type { ApiDeps } from '../deps.ts'
import { actorOf } from '../plugins/authentication.ts'
import { presentRun } from '../present.ts'
import { problemSchema, runIdParams, runSchema } from '../schemas.ts'
import { etag } from './runs.ts'

const overridable = z.enum([...signalNames, 'schedule'])
const longestSeconds = 24 * 3600

const overrideBody = z
  .strictObject({
    signal: overridable,
    reason: z.string().min(1).max(1000).describe('For those who read the events later'),
    seconds: z.number().min(1).max(longestSeconds).describe('After which it ends by itself'),
  })
  .meta({ id: 'NewOverride' })

const answers = { 200: runSchema, 404: problemSchema, 409: problemSchema }

/** Letting a run go on against a signal: named, with a reason and an end. */
export function overrideRoutes(app: App, { control, log }: ApiDeps): void {
  app.post(
    '/runs/:id/overrides',
    { schema: { params: runIdParams, body: overrideBody, response: answers } },
    async (request, reply) => {
      const { signal, reason, seconds } = request.body
      const actor = actorOf(request)
      const until = new Date(Date.now() + seconds * 1000).toISOString()
      const run = await changeOverride(control, request.params.id, signal, { reason, by: actor, until }, actor)
      log.warn({ run: run.id, actor, signal, reason, until }, 'run may ignore a signal for a while')
      return reply.header('etag', etag(run.version)).send(await presentRun(control, run))
    },
  )

  app.delete(
    '/runs/:id/overrides/:signal',
    { schema: { params: runIdParams.extend({ signal: overridable }), response: answers } },
    async (request, reply) => {
      const { id, signal } = request.params
      const actor = actorOf(request)
      const run = await changeOverride(control, id, signal, null, actor)
      log.info({ run: run.id, actor, signal }, 'run heeds the signal again')
      return reply.header('etag', etag(run.version)).send(await presentRun(control, run))
    },
  )
}
