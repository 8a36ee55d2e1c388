import { z } from 'zod'
import { Problem } from '../../core/errors.ts'
import { retryQuarantinedShards } from '../../runs/control.ts'
import { databasesOf, transactInAll } from '../../runs/databases.ts'
import { PageCursor, pageAfter, readPage } from '../../runs/paging.ts'
import { quarantinedRowSchema } from '../../runs/record-schemas.ts'
import { discardRowsBody, retryRowsBody } from '../../runs/request-schemas.ts'
import { runSchema, unreachedSchema } from '../../runs/run-schema.ts'
import { findShardedRun, type Shard, selectShards } from '../../runs/shards.ts'
import { iso, viewRun } from '../../runs/view.ts'
import { listQuarantine } from '../../store/quarantine.ts'
import { discardFromQuarantine } from '../../store/transitions.ts'
import type { ApiDeps } from '../deps.ts'
import { actorOf } from '../plugins/authentication.ts'
import { partQuery, problemSchema, runIdParams } from '../schemas.ts'
import type { App } from '../server.ts'
import { named, unreachableOf } from './history.ts'
import { unreachable } from './runs.ts'

const pageQuery = partQuery.extend({
  after: pageAfter,
  limit: z.coerce.number().int().min(1).max(1000).default(200),
})

/** The quarantine of a run: listing its rows, retrying them, discarding them. */
export function quarantineRoutes(app: App, { databases, log }: ApiDeps): void {
  app.get(
    '/runs/:id/quarantine',
    {
      schema: {
        operationId: 'listQuarantine',
        summary: 'Rows that fail by themselves, with their errors',
        tags: ['quarantine'],
        params: runIdParams,
        querystring: pageQuery,
        response: {
          200: z.object({
            rows: z.array(quarantinedRowSchema),
            next: z.string().nullable(),
            unreachable: unreachedSchema,
          }),
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
        listQuarantine(control, id, after, limit),
      )
      return {
        rows: page.items.map(({ database, ...row }) => ({
          ...row,
          key: [...row.key],
          at: row.at.toISOString(),
          lastAt: iso(row.lastAt) as string,
          ...named(database),
        })),
        next: page.next,
        ...unreachable([...unreachableOf(run, database), ...page.away]),
      }
    },
  )

  app.post(
    '/runs/:id/quarantine/retry',
    {
      schema: {
        operationId: 'retryQuarantine',
        summary: 'Retry rows in quarantine',
        tags: ['quarantine'],
        params: runIdParams,
        querystring: partQuery,
        body: retryRowsBody,
        response: {
          200: z.object({ retried: z.int(), run: runSchema }),
          404: problemSchema,
          409: problemSchema,
        },
      },
    },
    async (request) => {
      const { id } = request.params
      const { database } = request.query
      const { ids = null, reason = null, acceptJobChange = false } = request.body ?? {}
      const actor = actorOf(request)
      const run = await findShardedRun(databases, id, database)
      const parts = partsOfIds(selectShards(run, database), ids)
      const retried = await retryQuarantinedShards(id, parts, ids, { actor, reason }, acceptJobChange)
      if (retried === 0) throw nothingThere(id, ids)
      log.info({ run: id, actor, rows: retried }, 'quarantined rows retried')
      return { retried, run: await viewRun(await findShardedRun(databases, id, run.shards[0].db.name)) }
    },
  )

  app.post(
    '/runs/:id/quarantine/discard',
    {
      schema: {
        operationId: 'discardQuarantine',
        summary: 'Discard rows in quarantine, with a reason',
        tags: ['quarantine'],
        params: runIdParams,
        querystring: partQuery,
        body: discardRowsBody,
        response: {
          200: z.object({ discarded: z.int(), run: runSchema }),
          404: problemSchema,
        },
      },
    },
    async (request) => {
      const { id } = request.params
      const { database } = request.query
      const { ids = null, reason } = request.body
      const actor = actorOf(request)
      const run = await findShardedRun(databases, id, database)
      const parts = partsOfIds(selectShards(run, database), ids)
      const counts = await transactInAll(parts, (_, tx) => discardFromQuarantine(tx, id, ids, actor, reason))
      const discarded = counts.reduce((sum, count) => sum + count, 0)
      if (discarded === 0) throw nothingThere(id, ids)
      log.info({ run: id, actor, rows: discarded, reason }, 'quarantined rows discarded')
      return { discarded, run: await viewRun(await findShardedRun(databases, id, run.shards[0].db.name)) }
    },
  )
}

/** Each database numbers its quarantined rows separately, so ids need one database. */
function partsOfIds(parts: readonly Shard[], ids: readonly string[] | null): readonly Shard[] {
  if (ids === null || parts.length < 2) return parts
  const names = parts.map(({ db }) => db.name)
  throw new Problem(
    'invalid',
    `The run has shards in ${names.join(', ')}, and each database numbers its rows in quarantine separately. Choose one: add ?database=${names[0]}.`,
    { databases: names },
  )
}

function nothingThere(id: string, ids: readonly string[] | null): Problem {
  return new Problem(
    'not-found',
    `Run ${id} has no ${ids ? `row with ${ids.length === 1 ? 'this id' : 'one of these ids'}` : 'row'} in quarantine that this call can change. GET /runs/${id}/quarantine lists them.`,
  )
}
