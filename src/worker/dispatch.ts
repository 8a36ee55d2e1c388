import { classifyError } from '../core/fault.ts'
import { advanceRun, dispatchRuns } from '../store/dispatch.ts'
import type { Logger } from '../telemetry/logger.ts'
import type { WorkerDeps } from './deps.ts'

/** Advances a run, logs each change of its status, and puts its tickets on the queue. */
export async function advance({ control, queue, log, name }: WorkerDeps, runId: string): Promise<void> {
  const { tickets, moves } = await advanceRun(control, runId, name)
  for (const { event, status, reason } of moves) {
    log[status === 'failed' ? 'error' : 'info']({ run: runId, event, status, reason }, `run is ${status}`)
  }
  await queue.put(tickets)
}

/** Runs that get their tickets in one transaction. Small, so that no run waits long for the others. */
const atOnce = 50

/** Advances many runs. An error in one run does not keep the others waiting. */
export async function advanceAll(deps: WorkerDeps, runIds: readonly string[]): Promise<void> {
  for (let first = 0; first < runIds.length; first += atOnce) {
    const { tickets, due } = await dispatchTogether(deps, runIds.slice(first, first + atOnce))
    await deps.queue.put(tickets)
    await eachRun(deps.log, due, (id) => advance(deps, id))
  }
}

/** If another session holds a range of one of the runs, each run is left to be advanced by itself. */
async function dispatchTogether({ control }: WorkerDeps, runIds: readonly string[]): ReturnType<typeof dispatchRuns> {
  try {
    return await dispatchRuns(control, runIds)
  } catch (error) {
    if (classifyError(error) !== 'lock-timeout') throw error
    return { tickets: [], due: runIds }
  }
}

/** Calls `see` for each run. Logs an error and goes on with the next run. */
export async function eachRun(
  log: Logger,
  ids: readonly string[],
  see: (id: string) => Promise<unknown>,
): Promise<void> {
  for (const id of ids) {
    try {
      await see(id)
    } catch (error) {
      log.warn({ err: error, run: id }, 'cannot advance the run; it is tried again in a second')
    }
  }
}
