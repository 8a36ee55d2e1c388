import { z } from 'zod'
import { Problem } from '../../core/errors.ts'
import { workableStatuses } from '../../core/run.ts'
import { changeStatus, settleRun } from '../../store/lifecycle.ts'
import { beginStandstill, endStandstill, readPace } from '../../store/pace.ts'
import { listRunIdsByStatus } from '../../store/runs.ts'
import type { App } from '../app.ts'
import type { ApiDeps, Site } from '../deps.ts'
import { findRunParts, type RunParts } from '../parts.ts'
import { actorOf } from '../plugins/authentication.ts'
import { presentRuns } from '../present.ts'
import { brakeBody, reasonBody, runSchema, unreachedSchema } from '../schemas.ts'
import { type Away, askEach } from '../sites.ts'
import { restartRunParts, settleWithinSeconds } from '../tell.ts'
import { unreached } from './runs.ts'

/** Each of several databases may have batches to wait for. Milliseconds. */
const stopWithinMs = 3000 * settleWithinSeconds

interface Refused {
  readonly id: string
  readonly detail: string
}

const everything = {
  200: z.object({
    standstill: z
      .object({ reason: z.string().nullable(), actor: z.string(), since: z.string() })
      .nullable()
      .describe('Who has paused everything; null once everything may go on'),
    runs: z.array(runSchema),
    refused: z.array(z.object({ id: z.string(), detail: z.string() })),
    unreached: unreachedSchema,
  }),
}

/** Everything at once, in every database. */
export function standstillRoutes(app: App, { sites, log }: ApiDeps): void {
  // Runs that are paused, and a standstill besides: one that is started or resumed meanwhile is held as well.
  app.post(
    '/pause',
    {
      config: { brake: true },
      schema: {
        operationId: 'pauseAll',
        summary: 'Pause everything, in every database',
        tags: ['everything'],
        body: brakeBody,
        response: everything,
      },
    },
    async (request) => {
      const actor = actorOf(request)
      const reason = request.body?.reason ?? null
      const { answers, away } = await askEach(sites, (site) => pauseSite(site, actor, reason), stopWithinMs)
      const told = answers.flatMap(({ site, answer }) => answer.ids.map((id) => ({ site, id })))
      log.info({ runs: told.map(({ id }) => id), actor, reason }, 'all runs told to pause')
      return answer(
        await findEach(told),
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
        summary: 'Let everything go on that was paused by pauseAll',
        tags: ['everything'],
        body: reasonBody,
        response: everything,
      },
    },
    async (request) => {
      const actor = actorOf(request)
      const reason = request.body?.reason ?? null
      const { answers, away } = await askEach(sites, async ({ control }) => {
        await control.transaction(endStandstill)
        return listRunIdsByStatus(control, ['paused', 'pausing'])
      })
      const stopped = answers.flatMap(({ site, answer }) => answer.map((id) => ({ site, id })))
      const resumed: RunParts[] = []
      const refused: Refused[] = []
      for (const run of await findEach(stopped)) {
        const why = await refusalOf(() => restartRunParts(run, run.parts, 'resume', { actor, reason }, false))
        if (why === null) resumed.push(await findRunParts(sites, run.id, run.parts[0].site.name))
        else refused.push({ id: run.id, detail: why })
      }
      log.info({ runs: stopped.map(({ id }) => id), actor }, 'all runs told to resume')
      return answer(resumed, refused, away)
    },
  )

  async function pauseSite({ control }: Site, actor: string, reason: string | null) {
    await control.transaction((tx) => beginStandstill(tx, actor, reason))
    const refused: Refused[] = []
    const ids: string[] = []
    // All are told before any is waited for: the last one must not go on while the first one settles.
    for (const id of await listRunIdsByStatus(control, workableStatuses)) {
      const why = await refusalOf(() => changeStatus(control, id, 'pause', { actor, reason }))
      if (why === null) ids.push(id)
      else refused.push({ id, detail: why })
    }
    await Promise.all(ids.map((id) => settleRun(control, id, settleWithinSeconds, actor)))
    return { ids, refused }
  }

  /** The runs that have these parts, each once, the oldest first. */
  async function findEach(parts: ReadonlyArray<{ site: Site; id: string }>): Promise<RunParts[]> {
    const runs: RunParts[] = []
    for (const { site, id } of parts) {
      if (runs.some((run) => run.id === id && run.parts.some((part) => part.site === site))) continue
      runs.push(await findRunParts(sites, id, site.name))
    }
    return sites.length === 1 ? runs : runs.sort((a, b) => age(a) - age(b))
  }

  async function answer(found: readonly RunParts[], refused: readonly Refused[], away: readonly Away[]) {
    const { runs } = await presentRuns(found)
    const paces = await askEach(sites, ({ control }) => readPace(control))
    const standstill = paces.answers.map(({ answer }) => answer.standstill).find((one) => one !== null)
    return {
      standstill: standstill ? { ...standstill, since: standstill.since.toISOString() } : null,
      runs,
      refused: [...refused],
      ...unreached([...away, ...paces.away]),
    }
  }
}

function age({ parts: [{ run }] }: RunParts): number {
  return run.createdAt.getTime()
}

/** Why something was refused, or null: one that cannot be told does not keep the others from being told. */
async function refusalOf(act: () => Promise<unknown>): Promise<string | null> {
  try {
    await act()
    return null
  } catch (error) {
    if (!(error instanceof Problem)) throw error
    return error.message
  }
}
