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

/** How long one round waits for batches in flight. Seconds. */
const settleSeconds = 1

/**
 * Overdue tickets that are on the queue and cannot be waiting for a free slot, with the time when that was first seen.
 * Monotonic milliseconds.
 */
type Stuck = Map<string, number>

/**
 * Seconds after which a stuck ticket is replaced. `in-hand`: leasing takes milliseconds, and it has not happened in a
 * whole lease. `delayed`: a queue looks for due tickets when a slot asks for more, which is at the latest at the end of
 * a slice.
 */
function patienceOf({ leaseSeconds, sliceSeconds }: Timings) {
  return { 'in-hand': leaseSeconds, delayed: 2 * sliceSeconds }
}

const whyReplaced = {
  lost: 'the queue has lost a ticket',
  'in-hand': 'a worker has taken a ticket and no lease',
  delayed: 'the queue holds back a ticket that is due: the clocks of the machines differ',
}

/** Puts ranges and runs without a worker back to work. */
export interface Rescuer {
  /** Advances runs that may lack workers now, without waiting for the next round. */
  look(): void
  /** Resolves after the stop signal, when all loops have ended. */
  readonly ended: Promise<void>
}

/**
 * Starts the rescuer: one round a second until `stop` is aborted. Each task has its own loop, so a long task does not
 * delay the others. Any number of processes may run it.
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
    log.warn({ err: error }, 'a round of the rescuer failed; it is tried again in a second'),
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

/** Rescues ranges whose lease has run out. */
async function rescueLeases({ control, name, log, metrics }: WorkerDeps): Promise<void> {
  const count = await rescueRanges(control, name)
  if (count === 0) return
  metrics.rescues.inc({ kind: 'lease' }, count)
  log.warn({ ranges: count }, 'ranges taken back: their leases have run out')
}

/**
 * Replaces three kinds of tickets. Lost: the queue was flushed, or a process died between commit and put. In hand: a
 * worker that reaches the queue but not Postgres took it, and would keep the range from all other workers. Delayed: the
 * queue goes by the clocks of the processes that put and take tickets, and these may differ.
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
      `${where === null ? whyReplaced.lost : whyReplaced[where]}: it is replaced`,
    )
  }
}

/** Finishes pauses and cancellations whose caller did not wait for the last batch. */
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

/** Advances runs that may have more workers than they have, or whose phase has ended. */
async function advanceLacking(deps: WorkerDeps): Promise<void> {
  await advanceAll(deps, await listLackingRuns(deps.control))
}
