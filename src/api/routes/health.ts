import { z } from 'zod'
import { messageOf } from '../../core/errors.ts'
import { TicketsRefused } from '../../queue/acceptance.ts'
import type { Database } from '../../runs/database.ts'
import { pingStore } from '../../store/schema/instance.ts'
import { singleFlight } from '../../util/single-flight.ts'
import { withTimeout } from '../../util/timeout.ts'
import type { ApiDeps } from '../deps.ts'
import type { App } from '../server.ts'

/** A health checker that waits longer considers the process dead. Milliseconds. */
const answerWithinMs = 3000

const databaseReadiness = z.object({ database: z.string(), queue: z.string() })
const readiness = z.union([
  z.object({ ready: z.boolean(), ...databaseReadiness.shape }),
  z.object({
    ready: z.boolean(),
    unreachable: z.array(z.string()).describe('Databases that cannot be reached'),
    databases: z.record(z.string(), databaseReadiness),
  }),
])

/** Liveness, readiness and metrics of the process. */
export function healthRoutes(app: App, { databases, exposition }: ApiDeps): void {
  app.get(
    '/livez',
    {
      schema: {
        operationId: 'getLiveness',
        summary: 'Whether the process is alive',
        tags: ['service'],
        response: { 200: z.object({ alive: z.literal(true) }) },
      },
    },
    () => ({
      alive: true as const,
    }),
  )

  // This route needs no token, so concurrent calls share one check of the databases and queues.
  const checkAll = singleFlight(() =>
    Promise.all(databases.map(async (db) => ({ name: db.name, ...(await checkDatabase(db)) }))),
  )

  app.get(
    '/readyz',
    {
      schema: {
        operationId: 'getReadiness',
        summary: 'Whether the process can serve, and what it cannot reach',
        tags: ['service'],
        response: { 200: readiness, 503: readiness },
      },
    },
    async (_request, reply) => {
      const checked = await checkAll()
      // Without the queue the API still works: the rescuer writes the tickets once the queue is back. One unreachable
      // database does not make the process unready, because the other databases would lose it too.
      const ready = checked.some(({ database }) => database === 'ok')
      const [only] = checked
      const body =
        only?.name === null
          ? { ready, database: only.database, queue: only.queue }
          : {
              ready,
              unreachable: checked.flatMap(({ name, database }) => (database === 'ok' ? [] : [String(name)])),
              databases: Object.fromEntries(checked.map(({ name, database, queue }) => [name, { database, queue }])),
            }
      return reply.code(ready ? 200 : 503).send(body)
    },
  )

  app.get('/metrics', { schema: { hide: true } }, async (_request, reply) =>
    reply
      .type(exposition.contentType)
      .serializer(String)
      .send(await exposition.text()),
  )

  async function checkDatabase({ control, queue, log }: Database) {
    const [database, tickets] = await Promise.all([
      check('database', withTimeout(pingStore(control), answerWithinMs), log),
      // A queue may answer and still refuse tickets: out of memory, read-only, or without privileges.
      check('queue', withTimeout(queue.probe(), answerWithinMs + 1000), log),
    ])
    return { database, queue: tickets }
  }

  // This route needs no token. Error messages may name hosts and users, so they go to the log only.
  async function check(what: string, asked: Promise<unknown>, log: Database['log']): Promise<string> {
    try {
      await asked
      return 'ok'
    } catch (error) {
      const answer = error instanceof TicketsRefused && error.answered ? 'takes no tickets' : 'cannot be reached'
      log.warn({ err: error }, `${what} ${answer}: ${messageOf(error)}`)
      return answer
    }
  }
}
