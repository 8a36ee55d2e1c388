import { z } from 'zod'
import { Problem } from '../../core/errors.ts'
import { patchedRunOptions } from '../../core/job/options.ts'
import { isEnded, runStatuses } from '../../core/run/status.ts'
import { databasesOf, queryAll, transactInAll, type Unreachable } from '../../runs/databases.ts'
import { dryRunAll } from '../../runs/dry-run.ts'
import { dryRunSchema, dryRunsSchema } from '../../runs/dry-run-schemas.ts'
import { dispatch } from '../../runs/prepare.ts'
import { startRunSchema } from '../../runs/request-schemas.ts'
import { type RunView, runSchema, unreachedSchema } from '../../runs/run-schema.ts'
import {
  findShardedRun,
  listShardedRuns,
  type Shard,
  type ShardedRun,
  selectShards,
  versionOf,
} from '../../runs/shards.ts'
import { startRun } from '../../runs/start.ts'
import { viewRun, viewRuns } from '../../runs/view.ts'
import { changeOptions, staleVersion } from '../../store/transitions.ts'
import { Coalescer } from '../../util/coalescer.ts'
import type { ApiDeps } from '../deps.ts'
import { actorOf } from '../plugins/authentication.ts'
import { partQuery, problemSchema, runIdParams } from '../schemas.ts'
import type { App } from '../server.ts'

const listQuery = z.object({
  job: z.string().optional(),
  status: z.enum(runStatuses).optional(),
  before: z.string().optional().describe('`next` of the previous page'),
  limit: z.coerce.number().int().min(1).max(200).default(50),
})

/**
 * The shortest time between two reads of one run, however many clients poll it: dashboards, scripts and people would
 * otherwise slow the run down. Milliseconds.
 */
const looksApartMs = 100

/** Starting, reading and changing runs. */
export function runRoutes(app: App, deps: ApiDeps): void {
  const { databases, log } = deps
  const looks = new Coalescer<RunView>(looksApartMs)

  app.post(
    '/runs',
    {
      schema: {
        operationId: 'startRun',
        summary: 'Start a run, or rehearse it with dryRun',
        tags: ['runs'],
        body: startRunSchema,
        headers: z.object({ 'idempotency-key': z.string().min(1).max(255).optional() }),
        response: {
          200: z.union([dryRunSchema, dryRunsSchema]).describe('The report of a dry run'),
          201: runSchema,
          404: problemSchema,
          409: problemSchema,
          422: problemSchema,
        },
      },
    },
    async (request, reply) => {
      if (request.body.dryRun) return reply.code(200).send(await dryRunAll(deps.databases, request.body))
      const key = request.headers['idempotency-key'] ?? null
      const { run, created } = await startRun(databases, request.body, key, actorOf(request))
      // A repeated key gets the answer of the first call. Only the header says that nothing was created.
      if (!created) reply.header('idempotent-replayed', 'true')
      const body = await viewRun(run)
      return reply.code(201).header('location', `/runs/${run.id}`).header('etag', etag(body.version)).send(body)
    },
  )

  app.get(
    '/runs',
    {
      schema: {
        operationId: 'listRuns',
        summary: 'Runs, newest first',
        tags: ['runs'],
        querystring: listQuery,
        response: {
          200: z.object({ runs: z.array(runSchema), next: z.string().nullable(), unreachable: unreachedSchema }),
        },
      },
    },
    async (request) => {
      const { job = null, status = null, before = null, limit } = request.query
      const page = await listShardedRuns(databases, { job, status, before, limit })
      const { runs, away } = await viewRuns(page.runs)
      return { runs, next: page.next, ...unreachable([...page.away, ...away]) }
    },
  )

  app.get(
    '/runs/:id',
    {
      schema: {
        operationId: 'getRun',
        summary: 'One run: status, progress, throttle, proof',
        tags: ['runs'],
        params: runIdParams,
        querystring: partQuery,
        response: { 200: runSchema, 404: problemSchema },
      },
    },
    async (request, reply) => {
      const { id } = request.params
      const { database } = request.query
      const body = await looks.run(JSON.stringify([id, database]), async () =>
        viewRun(await findShardedRun(databases, id, database)),
      )
      return reply.header('etag', etag(body.version)).send(body)
    },
  )

  app.patch(
    '/runs/:id',
    {
      schema: {
        operationId: 'changeRunOptions',
        summary: 'Change options of a live run',
        tags: ['runs'],
        params: runIdParams,
        querystring: partQuery,
        headers: z.object({ 'if-match': z.string().optional() }),
        body: patchedRunOptions,
        response: { 200: runSchema, 404: problemSchema, 409: problemSchema, 412: problemSchema },
      },
    },
    async (request, reply) => {
      const { id } = request.params
      const { database } = request.query
      const actor = actorOf(request)
      const ifVersion = readIfMatch(request.headers['if-match'])
      const run = await findShardedRun(databases, id, database)
      if (ifVersion !== null) compareVersion(run, ifVersion)
      const parts = adjustable(selectShards(run, database))
      await transactInAll(parts, ({ run: { version } }, tx) =>
        changeOptions(tx, id, request.body, ifVersion === null ? null : version, actor),
      )
      await queryAll(databasesOf(parts), (db) => dispatch(db, id, actor))
      log.info({ run: id, actor, database, options: request.body }, 'options of the run changed')
      const body = await viewRun(await findShardedRun(databases, id, parts[0]?.db.name))
      return reply.header('etag', etag(body.version)).send(body)
    },
  )
}

/** Shards whose options still matter. If there are none, all shards, so that the change is refused with the reason. */
export function adjustable(parts: readonly Shard[]): readonly Shard[] {
  const live = parts.filter(({ run: { status } }) => !isEnded(status) || status === 'failed')
  return live.length > 0 ? live : parts
}

/** The databases missing from an answer; empty if DATABASES is not set. */
export function unreachable(away: readonly Unreachable[]): {
  unreachable?: Array<{ database: string; detail: string }>
} {
  const byName = new Map(away.map(({ database, reason }) => [database, reason]))
  if (byName.size === 0) return {}
  return { unreachable: [...byName].map(([database, detail]) => ({ database, detail })) }
}

export function etag(version: number): string {
  return `"${version}"`
}

function compareVersion(run: ShardedRun, ifVersion: number): void {
  const away = run.unseen.filter(({ state }) => state === 'unreachable')
  if (away.length > 0) {
    throw new Problem(
      'unavailable',
      `Cannot compare the version of run ${run.id}. ${away.map(({ reason }) => reason).join(' ')} Nothing was changed; try again, or leave If-Match out.`,
    )
  }
  if (versionOf(run) !== ifVersion) throw staleVersion(run.id, versionOf(run), ifVersion)
}

/** The version in If-Match; null if the header is absent or `*`. Throws a Problem (`invalid`) for any other value. */
function readIfMatch(header: string | undefined): number | null {
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
