import { z } from 'zod'
import { quoteTableName } from '../../core/sql/identifier.ts'
import { databasesOf, queryAll, type Unreachable } from '../../runs/databases.ts'
import { PageCursor, pageAfter, readPage } from '../../runs/paging.ts'
import { eventSchema, rangeSchema } from '../../runs/record-schemas.ts'
import { unreachedSchema } from '../../runs/run-schema.ts'
import { findShardedRun, type ShardedRun, selectShards } from '../../runs/shards.ts'
import { iso } from '../../runs/view.ts'
import { listEvents } from '../../store/events.ts'
import { listRanges } from '../../store/ranges.ts'
import type { ApiDeps } from '../deps.ts'
import { partQuery, problemSchema, runIdParams } from '../schemas.ts'
import type { App } from '../server.ts'
import { unreachable } from './runs.ts'

const eventQuery = partQuery.extend({
  after: pageAfter,
  limit: z.coerce.number().int().min(1).max(1000).default(200),
})

/** The events and ranges of a run, merged over its databases. */
export function historyRoutes(app: App, { databases }: ApiDeps): void {
  app.get(
    '/runs/:id/events',
    {
      schema: {
        operationId: 'listEvents',
        summary: 'What happened to a run, oldest first',
        tags: ['runs'],
        params: runIdParams,
        querystring: eventQuery,
        response: {
          200: z.object({ events: z.array(eventSchema), next: z.string().nullable(), unreachable: unreachedSchema }),
          404: problemSchema,
        },
      },
    },
    async (request) => {
      const { id } = request.params
      const { after, limit, database } = request.query
      const cursor = PageCursor.read(after, databases)
      const run = await findShardedRun(databases, id, database)
      const page = await readPage(databasesOf(selectShards(run, database)), cursor, limit, ({ control }, after) =>
        listEvents(control, id, after, limit),
      )
      return {
        events: page.items.map(({ database, ...event }) => ({
          ...event,
          at: event.at.toISOString(),
          ...named(database),
        })),
        next: page.next,
        ...unreachable([...unreachableOf(run, database), ...page.away]),
      }
    },
  )

  app.get(
    '/runs/:id/ranges',
    {
      schema: {
        operationId: 'listRanges',
        summary: 'The ranges of a run: cursors, leases, faults',
        tags: ['runs'],
        params: runIdParams,
        querystring: partQuery,
        response: { 200: z.object({ ranges: z.array(rangeSchema), unreachable: unreachedSchema }), 404: problemSchema },
      },
    },
    async (request) => {
      const { id } = request.params
      const { database } = request.query
      const run = await findShardedRun(databases, id, database)
      const { answers, away } = await queryAll(databasesOf(selectShards(run, database)), ({ control }) =>
        listRanges(control, id),
      )
      const copy = (key: readonly string[] | null) => (key ? [...key] : null)
      return {
        ranges: answers.flatMap(({ db, answer }) =>
          answer.map(({ leaf, ...range }) => ({
            ...range,
            partition: leaf && quoteTableName(leaf),
            ...named(db.name),
            faults: { ...range.faults },
            lower: copy(range.lower),
            upper: copy(range.upper),
            cursor: copy(range.cursor),
            leaseUntil: iso(range.leaseUntil),
            checkpointedAt: iso(range.checkpointedAt),
          })),
        ),
        ...unreachable([...unreachableOf(run, database), ...away]),
      }
    },
  )
}

export function named(database: string | null): { database?: string } {
  return database === null ? {} : { database }
}

/** Databases whose records are missing from the answer. */
export function unreachableOf({ unseen }: ShardedRun, database: string | undefined): readonly Unreachable[] {
  return database === undefined ? unseen : []
}
