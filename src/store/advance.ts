import { randomBytes } from 'node:crypto'
import { nextStep } from '../core/advance.ts'
import { optionsInForce } from '../core/hold.ts'
import { isPaced } from '../core/limits.ts'
import { crewFor, rememberedPace } from '../core/load.ts'
import { rowRate } from '../core/rate.ts'
import type { RunEvent, RunStatus } from '../core/run.ts'
import type { Control } from './control.ts'
import { countLeftovers } from './leftovers.ts'
import { moveRun } from './lifecycle.ts'
import { readPace, type SharedPace } from './pace.ts'
import { countQuarantined } from './quarantine.ts'
import { insertMissingLeaves, listRangeStates, reopenReturnedLeaves } from './ranges.ts'
import { rowWaitSeconds } from './rates.ts'
import { lockRun, type Run } from './runs.ts'
import { countStragglers } from './stragglers.ts'
import { assignTickets, type Ticket } from './tickets.ts'
import { sumRanges } from './totals.ts'

/** A delay that is shorter is not worth a delayed ticket: its worker waits. Seconds. */
const leastDelaySeconds = 1

/** A change of status that was due by itself. */
export interface Move {
  readonly event: RunEvent
  readonly status: RunStatus
  readonly reason: string | null
}

export interface Advance {
  readonly tickets: Ticket[]
  readonly moves: readonly Move[]
}

/**
 * Gives a run what it needs next: changes of status that are due by themselves, and tickets for ranges that nobody has.
 * The caller puts the tickets on the queue after this has committed; one that gets lost there is found by the rescuer.
 */
export async function advanceRun(control: Control, id: string, actor: string): Promise<Advance> {
  return control.transaction(async (tx) => {
    let run = await lockRun(tx, id)
    const moves: Move[] = []
    while (run) {
      const shared = await readPace(tx)
      const step = nextStep({
        id,
        status: run.status,
        parallelism: workersFor(run, shared),
        // A standstill holds from its first moment; the hold that says so to people is written a moment later.
        held: run.hold !== null || shared.standstill !== null,
        ranges: await listRangeStates(tx, id),
        stragglers: await countStragglers(tx, id),
        leftovers: await countLeftovers(tx, id),
        quarantined: await countQuarantined(tx, id),
        succeedWithQuarantined: run.options.succeedWithQuarantined,
        verifyRounds: run.verifyRounds,
      })
      if (step.kind === 'dispatch') {
        const tickets = step.ordinals.map((ordinal) => ({ ordinal, id: ticketId(id, ordinal) }))
        return { tickets: await assignTickets(tx, id, tickets, await rowsAfterSeconds(tx, run)), moves }
      }
      const event = await eventAfterPartitions(tx, run, step.event)
      if (event === null) continue
      const missing = event === 'succeed' ? await whatIsMissing(tx, run) : null
      const due = missing === null ? { event, reason: step.reason } : { event: 'fail' as const, reason: missing }
      run = await moveRun(tx, run, due.event, { actor, reason: due.reason })
      moves.push({ event: due.event, status: run.status, reason: run.reason })
    }
    return { tickets: [], moves }
  })
}

/**
 * What comes of an event that says that nothing is left to do, once partitions have been looked for that came, or came
 * back, since the run was planned; null where they are just to be worked off first.
 */
async function eventAfterPartitions(tx: Control, run: Run, event: RunEvent): Promise<RunEvent | null> {
  if (!run.target.partitioned || (event !== 'verify' && event !== 'succeed')) return event
  const back = await reopenReturnedLeaves(tx, run.id, run.target)
  // Without a predicate what came later is the application's own, as everywhere.
  const come = run.hasPredicate ? await insertMissingLeaves(tx, run.id, run.target) : 0
  if (back.length + come === 0) return event
  return event === 'succeed' && (come > 0 || back.includes('keys')) ? 'leftover' : null
}

/**
 * A job without a predicate leaves nothing in its rows to tell by: its proof is the count. Every row that windows have
 * passed over must have been done, have gone, or be in quarantine. Says what is wrong where that does not add up.
 */
async function whatIsMissing(tx: Control, { id, hasPredicate }: Run): Promise<string | null> {
  const totals = hasPredicate ? undefined : (await sumRanges(tx, [id])).get(id)
  if (!totals) return null
  const { rowsScanned, rowsDone, rowsGone, quarantined, discarded } = totals
  const accounted = rowsDone + rowsGone + quarantined + discarded
  if (accounted === rowsScanned) return null
  return `The count does not add up: windows passed over ${rowsScanned} rows, and ${accounted} of them are accounted for (${rowsDone} done, ${rowsGone} gone, ${quarantined + discarded} in quarantine). The control schema was tampered with, or this is a defect of evenkeel: compare the table before you trust it.`
}

/** Until when a ticket would only be given back, for want of rows under the run's rate. Seconds; 0 where a worker may well wait for them. */
async function rowsAfterSeconds(tx: Control, { id, status, options }: Run): Promise<number> {
  // The residual check only reads: a rate is for what replicas and vacuum have to follow.
  if (options.maxRowsPerSecond === null || status === 'verifying') return 0
  const wait = await rowWaitSeconds(tx, id, rowRate(options.maxRowsPerSecond, options.parallelism))
  return wait > leastDelaySeconds ? wait : 0
}

/** No more than the load is enough for: the others would only wait, and not hear that it has grown. */
function workersFor({ options, overrides }: Run, { pace, age, now }: SharedPace): number {
  if (!isPaced(optionsInForce(options, overrides, new Date(now * 1000)))) return options.parallelism
  return Math.min(options.parallelism, crewFor(rememberedPace(pace, age)))
}

// A fresh id for every wake-up: a queue that remembers an id refuses it the second time.
function ticketId(runId: string, ordinal: number): string {
  return `${runId}.${ordinal}.${randomBytes(6).toString('hex')}`
}
