import { z } from 'zod'
import { Problem } from '../../core/errors.ts'
import { type RunStatus, workableStatuses } from '../../core/run/status.ts'
import type { GlobalPause } from '../../core/throttle/hold.ts'
import { lockWithinSeconds, stopwatch } from '../../runs/control.ts'
import { asBrakes, type Database } from '../../runs/database.ts'
import { queryAll, type Unreachable } from '../../runs/databases.ts'
import { dispatch } from '../../runs/prepare.ts'
import { brakeBody, reasonBody } from '../../runs/request-schemas.ts'
import { runSchema, unreachedSchema } from '../../runs/run-schema.ts'
import { findShardedRuns, type ShardedRun } from '../../runs/shards.ts'
import { viewRuns } from '../../runs/view.ts'
import { beginGlobalPause, readPace } from '../../store/pace.ts'
import { listUnpausedRuns, pauseUnlockedRuns, resumeEverything, settleIdleRuns } from '../../store/pause-all.ts'
import { settleRun, stopRun } from '../../store/transitions.ts'
import type { ApiDeps } from '../deps.ts'
import { actorOf } from '../plugins/authentication.ts'
import type { App } from '../server.ts'
import { unreachable } from './runs.ts'

/** The number of sessions reserved for stop commands. */
const settledAtOnce = 2
/** Runs that get their tickets before the answer to a resume. The rescuer dispatches all others within a second. */
const dispatchedAtOnce = 10

interface Refused {
  readonly id: string
  readonly detail: string
}

const globalPause = z
  .object({ reason: z.string().nullable(), actor: z.string(), since: z.string() })
  .nullable()
  .describe('The actor that paused all runs, and why; null without a global pause')

const everything = {
  200: z.object({
    globalPause,
    runs: z.array(runSchema).describe('The runs that were paused or that continue'),
    refused: z.array(z.object({ id: z.string(), detail: z.string() })),
    unreachable: unreachedSchema,
  }),
}

const looked = {
  200: z.object({
    globalPause,
    databases: z
      .array(z.string())
      .optional()
      .describe('Databases in which all runs are paused; present only if DATABASES is set'),
    unreachable: unreachedSchema,
  }),
}

/** Actions on all runs in all databases. */
export function globalPauseRoutes(app: App, { databases: all, log }: ApiDeps): void {
  const databases = asBrakes(all)

  app.get(
    '/pause',
    {
      schema: {
        operationId: 'getPauseOfAll',
        summary: 'Whether all runs are paused, by whom and why',
        tags: ['global'],
        response: looked,
      },
    },
    async () => {
      const { answers, away } = await queryAll(databases, ({ control }) => readPace(control))
      const standing = answers.filter(({ answer }) => answer.globalPause !== null)
      const named = databases[0]?.name === null ? {} : { databases: standing.flatMap(({ db }) => db.name ?? []) }
      return { globalPause: told(standing[0]?.answer.globalPause ?? null), ...named, ...unreachable(away) }
    },
  )

  // Each run is paused. The global pause also holds runs that are started or resumed meanwhile.
  app.post(
    '/pause',
    {
      config: { brake: true },
      schema: {
        operationId: 'pauseAll',
        summary: 'Pause all runs in every database',
        tags: ['global'],
        body: brakeBody,
        response: everything,
      },
    },
    async (request) => {
      const actor = actorOf(request)
      const reason = request.body?.reason ?? null
      const { answers, away } = await queryAll(databases, (db) => pauseDatabase(db, actor, reason))
      const stopped = answers.flatMap(({ db, answer }) => answer.ids.map((id) => ({ db, id })))
      log.info({ runs: stopped.map(({ id }) => id), actor, reason }, 'pause requested for all runs')
      return answer(
        await findShardedRuns(databases, stopped),
        answers.flatMap(({ answer }) => answer.refused),
        away,
      )
    },
  )

  app.post(
    '/resume',
    {
      schema: {
        operationId: 'resumeAll',
        summary: 'Resume all runs that pauseAll paused',
        tags: ['global'],
        body: reasonBody,
        response: everything,
      },
    },
    async (request) => {
      const actor = actorOf(request)
      const reason = request.body?.reason ?? null
      const { answers, away } = await queryAll(databases, async (db) => {
        const ids = await resumeEverything(db.control, actor, reason)
        for (const id of ids.slice(0, dispatchedAtOnce)) await dispatch(db, id, actor)
        return ids
      })
      const resumed = answers.flatMap(({ db, answer }) => answer.map((id) => ({ db, id })))
      log.info({ runs: resumed.map(({ id }) => id), actor }, 'resume requested for all runs')
      return answer(await findShardedRuns(databases, resumed), [], away)
    },
  )

  /** Pauses all runs of a database. A run with a locked row does not delay the others: the global pause holds it. */
  async function pauseDatabase({ control }: Database, actor: string, reason: string | null) {
    const leftOf = stopwatch()
    await control.transaction((tx) => beginGlobalPause(tx, actor, reason))
    const ids = await pauseUnlockedRuns(control, actor, reason)
    const refused: Refused[] = []
    const cause = { actor, reason, pause: 'global' as const }
    await inTurns(await listUnpausedRuns(control), async ({ id, status }) => {
      const why = await refusalOf(() => stopRun(control, id, 'pause', cause, Math.min(lockWithinSeconds, leftOf())))
      if (why !== null) refused.push({ id, detail: why })
      else if ((workableStatuses as readonly RunStatus[]).includes(status)) ids.push(id)
    })
    const settled = new Set(await settleIdleRuns(control, actor))
    await inTurns(
      ids.filter((id) => !settled.has(id)),
      async (id) => {
        await settleRun(control, id, leftOf(), actor)
      },
    )
    return { ids, refused }
  }

  async function answer(found: readonly ShardedRun[], refused: readonly Refused[], away: readonly Unreachable[]) {
    const { runs } = await viewRuns(found)
    const paces = await queryAll(databases, ({ control }) => readPace(control))
    return {
      globalPause: told(paces.answers.map(({ answer }) => answer.globalPause).find((one) => one !== null) ?? null),
      runs,
      refused: [...refused],
      ...unreachable([...away, ...paces.away]),
    }
  }
}

function told(standing: GlobalPause | null): z.output<typeof globalPause> {
  return standing && { ...standing, since: standing.since.toISOString() }
}

/** Does the work for each run, a few at a time. */
async function inTurns<T>(runs: readonly T[], work: (run: T) => Promise<void>): Promise<void> {
  const left = [...runs]
  const turn = async () => {
    for (let run = left.shift(); run !== undefined; run = left.shift()) await work(run)
  }
  await Promise.all(Array.from({ length: settledAtOnce }, turn))
}

/** Returns the reason of a refusal, or null, so that one refused run does not stop the others from being paused. */
async function refusalOf(act: () => Promise<unknown>): Promise<string | null> {
  try {
    await act()
    return null
  } catch (error) {
    if (!(error instanceof Problem)) throw error
    // The run has ended meanwhile, or another call has paused it.
    return error.kind === 'conflict' ? null : error.message
  }
}
