import { z } from 'zod'
import { messageOf } from '../../core/errors.ts'
import { pingStore } from '../../store/instance.ts'
import type { App } from '../app.ts'
import type { ApiDeps } from '../deps.ts'

const readiness = z.object({ ready: z.boolean(), database: z.string(), queue: z.string() })

/** Whether the process lives, whether it can serve, and its numbers. */
export function healthRoutes(app: App, { control, queue, log, metrics }: ApiDeps): void {
  app.get('/livez', { schema: { response: { 200: z.object({ alive: z.literal(true) }) } } }, () => ({
    alive: true as const,
  }))

  app.get('/readyz', { schema: { response: { 200: readiness, 503: readiness } } }, async (_request, reply) => {
    const [database, tickets] = await Promise.all([
      check('database', pingStore(control)),
      check('queue', queue.depth()),
    ])
    // Without the queue everything can still be asked and told: the rescuer writes the tickets once it is back.
    const ready = database === 'ok'
    return reply.code(ready ? 200 : 503).send({ ready, database, queue: tickets })
  })

  app.get('/metrics', { schema: { hide: true } }, async (_request, reply) =>
    reply
      .type(metrics.registry.contentType)
      .serializer(String)
      .send(await metrics.registry.metrics()),
  )

  // This route is open to all: an error's own words, which may name hosts and users, go to the log only.
  async function check(what: string, answer: Promise<unknown>): Promise<string> {
    try {
      await answer
      return 'ok'
    } catch (error) {
      log.warn({ err: error }, `${what} cannot be reached: ${messageOf(error)}`)
      return 'cannot be reached'
    }
  }
}
