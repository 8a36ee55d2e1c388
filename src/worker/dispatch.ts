import { classifyError } from '../core/fault.ts'
import { advanceRun, dispatchRuns } from '../store/dispatch.ts'
import type { Logger } from '../telemetry/logger.ts'
import type { WorkerDeps } from './deps.ts'

/** Gives a run what it needs next, says so where that changes where it stands, and puts its tickets out. */
export async function advance({ control, queue, log, name }: WorkerDeps, runId: string): Promise<void> {
  const { tickets, moves } = await advanceRun(control, runId, name)
  for (const { event, status, reason } of moves) {
    log[status === 'failed' ? 'error' : 'info']({ run: runId, event, status, reason }, `run is ${status}`)
  }
  await queue.put(tickets)
}

/** Runs that are given their tickets together: so few that none of them waits long for the others. */
const atOnce = 50

/** The same for many runs. One that is in trouble does not keep the others from being seen to. */
export async function advanceAll(deps: WorkerDeps, runIds: readonly string[]): Promise<void> {
  for (let first = 0; first < runIds.length; first += atOnce) {
    const { tickets, due } = await dispatchTogether(deps, runIds.slice(first, first + atOnce))
    await deps.queue.put(tickets)
    await eachRun(deps.log, due, (id) => advance(deps, id))
  }
}

/** Where another session keeps a range of one of them, each is left to be seen to by itself. */
async function dispatchTogether({ control }: WorkerDeps, runIds: readonly string[]): ReturnType<typeof dispatchRuns> {
  try {
    return await dispatchRuns(control, runIds)
  } catch (error) {
    if (classifyError(error) !== 'lock-timeout') throw error
    return { tickets: [], due: runIds }
  }
}

/** Does something for each run; what fails for one is said, and the others have their turn. */
export async function eachRun(
  log: Logger,
  ids: readonly string[],
  see: (id: string) => Promise<unknown>,
): Promise<void> {
  for (const id of ids) {
    try {
      await see(id)
    } catch (error) {
      log.warn({ err: error, run: id }, 'the run could not be seen to; it is tried again in a second')
    }
  }
}
