import { z } from 'zod'
import { Problem } from '../../core/errors.ts'
import { workableStatuses } from '../../core/run.ts'
import { changeStatus, noSuchRun, restartRun, settleRun } from '../../store/lifecycle.ts'
import { beginStandstill, endStandstill, readPace } from '../../store/pace.ts'
import { findRun, listRunIdsByStatus, type Run } from '../../store/runs.ts'
import type { App } from '../app.ts'
import type { ApiDeps } from '../deps.ts'
import { actorOf } from '../plugins/authentication.ts'
import { presentRun, presentRuns } from '../present.ts'
import { problemSchema, runIdParams, runSchema } from '../schemas.ts'
import { currentFingerprint, dispatch } from '../start.ts'
import { etag } from './runs.ts'

const settleWithinSeconds = 5

const reasonBody = z
  .strictObject({ reason: z.string().max(1000).optional().describe('For those who read the events later') })
  .nullish()
const restartBody = z
  .strictObject({
    reason: z.string().max(1000).optional(),
    acceptJobChange: z
      .boolean()
      .optional()
      .describe('Go on although the job is no longer what the run was accepted with'),
  })
  .nullish()

const answers = { 200: runSchema, 404: problemSchema, 409: problemSchema }

/** What an operator tells a run to do. */
export function actionRoutes(app: App, deps: ApiDeps): void {
  const { control, log } = deps

  for (const event of ['pause', 'cancel'] as const) {
    app.post(
      `/runs/:id/${event}`,
      { schema: { params: runIdParams, body: reasonBody, response: answers } },
      async (request, reply) => {
        const run = await stop(request.params.id, event, actorOf(request), request.body?.reason ?? null)
        return reply.header('etag', etag(run.version)).send(await presentRun(control, run))
      },
    )
  }

  for (const event of ['resume', 'retry'] as const) {
    app.post(
      `/runs/:id/${event}`,
      { schema: { params: runIdParams, body: restartBody, response: answers } },
      async (request, reply) => {
        const { reason = null, acceptJobChange = false } = request.body ?? {}
        const run = await restart(request.params.id, event, actorOf(request), reason, acceptJobChange)
        return reply.header('etag', etag(run.version)).send(await presentRun(control, run))
      },
    )
  }

  const everything = {
    200: z.object({
      standstill: z
        .object({ reason: z.string().nullable(), actor: z.string(), since: z.string() })
        .nullable()
        .describe('Who has paused everything; null once everything may go on'),
      runs: z.array(runSchema),
      refused: z.array(z.object({ id: z.string(), detail: z.string() })),
    }),
  }

  // Runs that are paused, and a standstill besides: one that is started or resumed meanwhile is held as well.
  app.post('/pause', { schema: { body: reasonBody, response: everything } }, async (request) => {
    const actor = actorOf(request)
    const reason = request.body?.reason ?? null
    await beginStandstill(control, actor, reason)
    const ids = await listRunIdsByStatus(control, workableStatuses)
    // All are told before any is waited for: the last one must not go on while the first one settles.
    const told = await each(ids, (id) => changeStatus(control, id, 'pause', { actor, reason }))
    const settled = await Promise.all(told.done.map((run) => settleRun(control, run.id, settleWithinSeconds, actor)))
    log.info({ runs: ids, actor, reason }, 'all runs told to pause')
    return { standstill: await standstill(), runs: await presentRuns(control, settled), refused: told.refused }
  })

  app.post('/resume', { schema: { body: reasonBody, response: everything } }, async (request) => {
    await endStandstill(control)
    const ids = await listRunIdsByStatus(control, ['paused', 'pausing'])
    const { done, refused } = await each(ids, (id) =>
      restart(id, 'resume', actorOf(request), request.body?.reason ?? null, false),
    )
    log.info({ runs: ids, actor: actorOf(request) }, 'all runs told to resume')
    return { standstill: await standstill(), runs: await presentRuns(control, done), refused }
  })

  async function standstill() {
    const { standstill } = await readPace(control)
    return standstill && { ...standstill, since: standstill.since.toISOString() }
  }

  /** Answers once nothing of the run is in flight, or after some seconds with the run still on its way there. */
  async function stop(id: string, event: 'pause' | 'cancel', actor: string, reason: string | null): Promise<Run> {
    await changeStatus(control, id, event, { actor, reason })
    const run = await settleRun(control, id, settleWithinSeconds, actor)
    log.info({ run: id, actor, status: run.status, reason }, `run told to ${event}`)
    return run
  }

  async function restart(
    id: string,
    event: 'resume' | 'retry',
    actor: string,
    reason: string | null,
    acceptJobChange: boolean,
  ): Promise<Run> {
    const run = await findRun(control, id)
    if (!run) throw noSuchRun(id)
    const fingerprint = await currentFingerprint(deps, run, acceptJobChange)
    await restartRun(control, id, event, { actor, reason }, acceptJobChange ? fingerprint : null)
    await dispatch(deps, id, actor)
    log.info({ run: id, actor, acceptJobChange }, `run told to ${event}`)
    return (await findRun(control, id)) as Run
  }

  /** One that cannot be told does not keep the others from being told; it is named in the answer. */
  async function each(ids: readonly string[], act: (id: string) => Promise<Run>) {
    const done: Run[] = []
    const refused: Array<{ id: string; detail: string }> = []
    for (const id of ids) {
      try {
        done.push(await act(id))
      } catch (error) {
        if (!(error instanceof Problem)) throw error
        refused.push({ id, detail: error.message })
      }
    }
    return { done, refused }
  }
}
