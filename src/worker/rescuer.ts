import { workableStatuses } from '../core/run.ts'
import type { Timings } from '../core/timings.ts'
import { seldom } from '../queue/seldom.ts'
import { rescueRanges } from '../store/handover.ts'
import { settleRun } from '../store/lifecycle.ts'
import { listRunIdsByStatus } from '../store/runs.ts'
import { listOverdueTickets, withdrawTicket } from '../store/tickets.ts'
import type { Logger } from '../telemetry/logger.ts'
import { advance } from './advance.ts'
import type { WorkerDeps } from './deps.ts'
import { waitSeconds } from './wait.ts'

/** Overdue tickets that the queue knows and nobody can be waiting for, and when that was first seen. Monotonic milliseconds. */
type Stuck = Map<string, number>

/**
 * After so long one is replaced. In hand: what takes milliseconds has not been done in all the time that a lease lasts. Delayed: a
 * queue looks after what is due whenever a slot asks it for more, at the latest at the end of a slice. Seconds.
 */
function patienceOf({ leaseSeconds, sliceSeconds }: Timings) {
  return { 'in-hand': leaseSeconds, delayed: 2 * sliceSeconds }
}

const whyReplaced = {
  lost: 'the queue has lost a ticket',
  'in-hand': 'a worker has taken a ticket and no lease',
  delayed: 'the queue keeps back a ticket that is due: the clocks of the machines differ',
}

/** Puts back to work whatever has nobody: until the signal says stop, once a second. Any number of them may run. */
export async function keepRescuing(deps: WorkerDeps, stop: AbortSignal): Promise<void> {
  const stuck: Stuck = new Map()
  const complain = seldom((error) =>
    deps.log.warn({ err: error }, 'rescuer could not do its round; it tries again in a second'),
  )
  while (!stop.aborted) {
    for (const task of [rescueLeases, replaceLostTickets, settleStopped, advanceLive]) {
      if (stop.aborted) return
      try {
        await task(deps, stuck)
      } catch (error) {
        complain(error as Error)
      }
    }
    await waitSeconds(deps.timings.rescueEverySeconds, stop)
  }
}

/** Ranges whose worker has gone quiet. */
async function rescueLeases({ control, name, log, metrics }: WorkerDeps): Promise<void> {
  const count = await rescueRanges(control, name)
  if (count === 0) return
  metrics.rescues.inc({ kind: 'lease' }, count)
  log.warn({ ranges: count }, 'ranges taken back: their workers have gone quiet')
}

/**
 * Tickets that the queue has lost: it was flushed, or we died between commit and put. Those that a worker has taken
 * and makes nothing of: it reaches the queue but not Postgres, and would keep its range from all others. And those that the queue
 * keeps back although they are due: it goes by the clocks of those who put and take tickets, which need not agree.
 */
async function replaceLostTickets({ control, queue, log, metrics, timings }: WorkerDeps, stuck: Stuck): Promise<void> {
  const patience = patienceOf(timings)
  const overdue = await listOverdueTickets(control, timings.ticketGraceSeconds)
  const ids = new Set(overdue.map(({ id }) => id))
  for (const id of stuck.keys()) if (!ids.has(id)) stuck.delete(id)
  for (const ticket of overdue) {
    const where = await queue.whereabouts(ticket.id)
    if (where === 'queued') continue
    if (where !== null) {
      const since = stuck.get(ticket.id) ?? performance.now()
      stuck.set(ticket.id, since)
      if (performance.now() - since < patience[where] * 1000) continue
    }
    if (!(await withdrawTicket(control, ticket))) continue
    metrics.rescues.inc({ kind: 'ticket' })
    log.warn(
      { run: ticket.runId, range: ticket.ordinal, ticket: ticket.id },
      `${where === null ? whyReplaced.lost : whyReplaced[where]}: a new one is written`,
    )
  }
}

/** Pauses and cancellations whose caller did not wait for the last batch. */
async function settleStopped({ control, name, log }: WorkerDeps): Promise<void> {
  await eachRun(log, await listRunIdsByStatus(control, ['pausing', 'cancelling']), (id) =>
    settleRun(control, id, 1, name),
  )
}

/** Runs that could have more workers than they have. */
async function advanceLive(deps: WorkerDeps): Promise<void> {
  await eachRun(deps.log, await listRunIdsByStatus(deps.control, workableStatuses), (id) => advance(deps, id))
}

/** One run that is in trouble does not keep the others from being seen to. */
async function eachRun(log: Logger, ids: readonly string[], see: (id: string) => Promise<unknown>): Promise<void> {
  for (const id of ids) {
    try {
      await see(id)
    } catch (error) {
      log.warn({ err: error, run: id }, 'rescuer could not see to the run; it tries again in a second')
    }
  }
}
