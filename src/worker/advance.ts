import { advanceRun } from '../store/advance.ts'
import type { WorkerDeps } from './deps.ts'

/** Gives a run what it needs next, says so where that changes where it stands, and puts its tickets out. */
export async function advance({ control, queue, log, name }: WorkerDeps, runId: string): Promise<void> {
  const { tickets, moves } = await advanceRun(control, runId, name)
  for (const { event, status, reason } of moves) {
    log[status === 'failed' ? 'error' : 'info']({ run: runId, event, status, reason }, `run is ${status}`)
  }
  await queue.put(tickets)
}
