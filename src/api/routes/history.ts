import { z } from 'zod'
import { quoteTableName } from '../../core/identifier.ts'
import { listEvents } from '../../store/events.ts'
import { noSuchRun } from '../../store/lifecycle.ts'
import { listRanges } from '../../store/ranges.ts'
import { findRun } from '../../store/runs.ts'
import type { App } from '../app.ts'
import type { ApiDeps } from '../deps.ts'
import { iso } from '../present.ts'
import { eventSchema, problemSchema, rangeSchema, runIdParams } from '../schemas.ts'

const eventQuery = z.object({
  after: z
    .string()
    .regex(/^\d{1,18}$/, 'must be the id of an event')
    .default('0'),
  limit: z.coerce.number().int().min(1).max(1000).default(200),
})

/** What has happened to a run, and where each of its ranges stands. */
export function historyRoutes(app: App, { control }: ApiDeps): void {
  app.get(
    '/runs/:id/events',
    {
      schema: {
        params: runIdParams,
        querystring: eventQuery,
        response: { 200: z.object({ events: z.array(eventSchema), next: z.string().nullable() }), 404: problemSchema },
      },
    },
    async (request) => {
      const { after, limit } = request.query
      await existing(request.params.id)
      const events = await listEvents(control, request.params.id, after, limit)
      return {
        events: events.map((event) => ({ ...event, at: event.at.toISOString() })),
        next: events.length === limit ? (events.at(-1)?.id ?? null) : null,
      }
    },
  )

  app.get(
    '/runs/:id/ranges',
    {
      schema: {
        params: runIdParams,
        response: { 200: z.object({ ranges: z.array(rangeSchema) }), 404: problemSchema },
      },
    },
    async (request) => {
      await existing(request.params.id)
      const ranges = await listRanges(control, request.params.id)
      const copy = (key: readonly string[] | null) => (key ? [...key] : null)
      return {
        ranges: ranges.map(({ leaf, ...range }) => ({
          ...range,
          partition: leaf && quoteTableName(leaf),
          lower: copy(range.lower),
          upper: copy(range.upper),
          cursor: copy(range.cursor),
          leaseUntil: iso(range.leaseUntil),
          checkpointedAt: iso(range.checkpointedAt),
        })),
      }
    },
  )

  async function existing(id: string): Promise<void> {
    if (!(await findRun(control, id))) throw noSuchRun(id)
  }
}
