import type { Timings } from '../core/timings.ts'
import { limitReports } from '../queue/error-reports.ts'
import { listLackingRuns } from '../store/dispatch.ts'
import { settleIdleRuns } from '../store/pause-all.ts'
import { rescueRanges } from '../store/rescue.ts'
import { listRunIdsByStatus } from '../store/runs.ts'
import { listOverdueTickets, withdrawTicket } from '../store/tickets.ts'
import { settleRun } from '../store/transitions.ts'
import { waitSeconds } from '../util/sleep.ts'
import { Bell } from './bell.ts'
import type { WorkerDeps } from './deps.ts'
import { advanceAll, eachRun } from './dispatch.ts'

/** How long a batch in flight is waited for in one round. */
const settleSeconds = 1

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

/** What puts back to work whatever has nobody. */
export interface Rescuer {
  /** Has runs looked at now that may lack workers. */
  look(): void
  /** Returns once the signal has said stop. */
  readonly ended: Promise<void>
}

/**
 * Puts back to work whatever has nobody, once a second, until the signal says stop. Each task has a loop of its own: where there is
 * much to do for one, the others do not wait. Any number of processes may do this.
 */
export function startRescuer(deps: WorkerDeps, stop: AbortSignal): Rescuer {
  const bell = new Bell()
  const stuck: Stuck = new Map()
  const pause = (seconds: number) => waitSeconds(seconds, stop)
  const tasks = [
    keep(deps, () => rescueLeases(deps), pause, stop),
    keep(deps, () => replaceLostTickets(deps, stuck), pause, stop),
    keep(deps, () => settleStopped(deps), pause, stop),
    keep(
      deps,
      () => advanceLacking(deps),
      (seconds) => bell.wait(seconds, stop),
      stop,
    ),
  ]
  return { look: () => bell.ring(), ended: Promise.all(tasks).then(() => undefined) }
}

async function keep(
  { log, timings }: WorkerDeps,
  round: () => Promise<void>,
  pause: (seconds: number) => Promise<void>,
  stop: AbortSignal,
): Promise<void> {
  const complain = limitReports((error) =>
    log.warn({ err: error }, 'rescuer could not do its round; it tries again in a second'),
  )
  while (!stop.aborted) {
    try {
      await round()
    } catch (error) {
      complain(error as Error)
    }
    await pause(timings.rescueEverySeconds)
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
  const ids = await listRunIdsByStatus(control, ['pausing', 'cancelling'])
  if (ids.length === 0) return
  const settled = new Set(await settleIdleRuns(control, name))
  await eachRun(
    log,
    ids.filter((id) => !settled.has(id)),
    (id) => settleRun(control, id, settleSeconds, name),
  )
}

/** Runs that could have more workers than they have, or have come to the end of something. */
async function advanceLacking(deps: WorkerDeps): Promise<void> {
  await advanceAll(deps, await listLackingRuns(deps.control))
}
