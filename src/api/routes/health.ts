import { z } from 'zod'
import { messageOf } from '../../core/errors.ts'
import { TicketsRefused } from '../../queue/acceptance.ts'
import type { Database } from '../../runs/database.ts'
import { pingStore } from '../../store/schema/instance.ts'
import { singleFlight } from '../../util/single-flight.ts'
import { withTimeout } from '../../util/timeout.ts'
import type { ApiDeps } from '../deps.ts'
import type { App } from '../server.ts'

/** A probe that waits longer takes the process for dead. Milliseconds. */
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

/** Whether the process lives, whether it can serve, and its numbers. */
export function healthRoutes(app: App, { databases, exposition }: ApiDeps): void {
  app.get(
    '/livez',
    {
      schema: {
        operationId: 'getLiveness',
        summary: 'Whether the process lives',
        tags: ['service'],
        response: { 200: z.object({ alive: z.literal(true) }) },
      },
    },
    () => ({
      alive: true as const,
    }),
  )

  // This route is open to all: however many ask at once, the databases and queues are asked once.
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
      // Without the queue everything can still be asked and told: the rescuer writes the tickets once it is back. And a
      // process that is taken out of service because one database is away would take the others out with it.
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
      // It may answer and yet take no tickets: out of memory, read-only, without the rights.
      check('queue', withTimeout(queue.probe(), answerWithinMs + 1000), log),
    ])
    return { database, queue: tickets }
  }

  // Open to all as well: an error's own words, which may name hosts and users, go to the log only.
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
