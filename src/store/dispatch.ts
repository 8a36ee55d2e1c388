import { randomBytes } from 'node:crypto'
import { nextStep, type Step } from '../core/run/next-step.ts'
import type { RunEvent, RunStatus } from '../core/run/status.ts'
import { maxWorkersFor, rememberedPace } from '../core/throttle/controller.ts'
import { optionsInForce } from '../core/throttle/hold.ts'
import { isPaced } from '../core/throttle/limits.ts'
import { rowRate } from '../core/throttle/row-rate.ts'
import type { Control } from './control.ts'
import { countLeftovers } from './leftovers.ts'
import { readPace, type SharedPace } from './pace.ts'
import { countQuarantinedOf } from './quarantine.ts'
import { sumRanges } from './range-totals.ts'
import { insertMissingLeaves, listRangeStates, reopenReturnedLeaves } from './ranges.ts'
import { rowWaits } from './row-rates.ts'
import type { Run } from './run.ts'
import { listWorkableRuns, lockFreeRuns, lockRunBriefly } from './runs.ts'
import { countStragglersOf } from './stragglers.ts'
import { assignTickets, type Ticket } from './tickets.ts'
import { moveRun } from './transitions.ts'

/** A shorter delay is not worth a delayed ticket: the worker waits instead. Seconds. */
const minDelaySeconds = 1

/** A change of status that followed from the run's own state. */
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
 * Advances a run: makes the changes of status that are due and assigns tickets to free ranges. The caller puts the
 * tickets on the queue after the commit. The rescuer finds tickets that are lost there.
 */
export async function advanceRun(control: Control, id: string, actor: string): Promise<Advance> {
  return control.transaction(async (tx) => {
    let run = await lockRunBriefly(tx, id)
    const moves: Move[] = []
    while (run) {
      const [step] = await nextSteps(tx, [run])
      if (!step) break
      if (step.kind === 'dispatch') return { tickets: await handOut(tx, [run], [step]), moves }
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

/** Workable runs that lack tickets or are due for a change of status. Takes no locks. */
export async function listLackingRuns(control: Control): Promise<string[]> {
  const runs = await listWorkableRuns(control)
  const steps = await nextSteps(control, runs)
  return runs.filter((_, index) => isSomething(steps[index])).map(({ id }) => id)
}

/**
 * Assigns several runs the tickets that they lack, in one transaction. Skips runs with a locked row. Returns the
 * tickets, and the runs that are due for a change of status: `advanceRun` makes it.
 */
export async function dispatchRuns(
  control: Control,
  ids: readonly string[],
): Promise<{ readonly tickets: Ticket[]; readonly due: readonly string[] }> {
  return control.transaction(async (tx) => {
    const runs = await lockFreeRuns(tx, ids)
    const steps = await nextSteps(tx, runs)
    const due = runs.filter((_, index) => steps[index]?.kind === 'event').map(({ id }) => id)
    return { tickets: await handOut(tx, runs, steps), due }
  })
}

function isSomething(step: Step | undefined): boolean {
  return step?.kind === 'event' || (step?.kind === 'dispatch' && step.ordinals.length > 0)
}

/** The next step of each run, in the order of the runs. */
async function nextSteps(control: Control, runs: readonly Run[]): Promise<Step[]> {
  if (runs.length === 0) return []
  const ids = runs.map(({ id }) => id)
  const shared = await readPace(control)
  const ranges = await listRangeStates(control, ids)
  const stragglers = await countStragglersOf(control, ids)
  const leftovers = await countLeftovers(control, ids)
  const quarantined = await countQuarantinedOf(control, ids)
  return runs.map((run) =>
    nextStep({
      id: run.id,
      status: run.status,
      parallelism: workersFor(run, shared),
      // A global pause applies at once. The hold that reports it is written a moment later.
      held: run.hold !== null || shared.globalPause !== null,
      ranges: ranges.get(run.id) ?? [],
      stragglers: stragglers.get(run.id) ?? 0,
      leftovers: leftovers.get(run.id) ?? 0,
      quarantined: quarantined.get(run.id) ?? 0,
      succeedWithQuarantined: run.options.succeedWithQuarantined,
      verifyRounds: run.verifyRounds,
    }),
  )
}

/** Assigns the tickets of these steps, each step for its run. */
async function handOut(tx: Control, runs: readonly Run[], steps: readonly Step[]): Promise<Ticket[]> {
  const waits = await rowWaits(tx, runs.flatMap(rateOf))
  const tickets = runs.flatMap(({ id }, index) => {
    const step = steps[index]
    const wait = waits.get(id) ?? 0
    // An earlier ticket would be given back for lack of rows under the run's rate. Its worker waits out a short delay.
    const afterSeconds = wait > minDelaySeconds ? wait : 0
    return step?.kind === 'dispatch'
      ? step.ordinals.map((ordinal) => ({ runId: id, ordinal, id: ticketId(id, ordinal), afterSeconds }))
      : []
  })
  return assignTickets(tx, tickets)
}

/**
 * The rate that limits the run's workers. The residual check only reads; the rate protects replicas and vacuum from
 * writes.
 */
function rateOf({ id, status, options }: Run): Array<{ runId: string; rowsPerSecond: number }> {
  if (options.maxRowsPerSecond === null || status === 'verifying') return []
  return [{ runId: id, rowsPerSecond: rowRate(options.maxRowsPerSecond, options.parallelism).rowsPerSecond }]
}

/**
 * The event to apply when no work seems to be left, after a check for partitions that were added or came back since the
 * run was planned. Null if such partitions only have to be worked off first.
 */
async function eventAfterPartitions(tx: Control, run: Run, event: RunEvent): Promise<RunEvent | null> {
  if (!run.target.partitioned || (event !== 'verify' && event !== 'succeed')) return event
  const back = await reopenReturnedLeaves(tx, run.id, run.target)
  // Without a predicate, rows added after the plan are the application's own.
  const come = run.hasPredicate ? await insertMissingLeaves(tx, run.id, run.target) : 0
  if (back.length + come === 0) return event
  return event === 'succeed' && (come > 0 || back.includes('keys')) ? 'found-remaining' : null
}

/**
 * Checks that the row counts add up; returns a failure reason if they do not. Rows show no trace of a job without a
 * predicate, so its proof is the count: each row passed must be done, gone or in quarantine. With a predicate, windows
 * also pass rows that do not match, and checks find rows. Then no more rows may be done than were met.
 */
async function whatIsMissing(tx: Control, { id, hasPredicate }: Run): Promise<string | null> {
  const totals = (await sumRanges(tx, [id])).get(id)
  if (!totals) return null
  const { rowsScanned, rowsFound, rowsDone, rowsGone, quarantined, discarded } = totals
  const accounted = rowsDone + rowsGone + quarantined + discarded
  if (hasPredicate ? accounted <= rowsScanned + rowsFound : accounted === rowsScanned) return null
  const met = hasPredicate ? `, checks found ${rowsFound}` : ''
  return `The counts do not add up: windows passed ${rowsScanned} rows${met}, and ${accounted} of them are accounted for (${rowsDone} done, ${rowsGone} gone, ${quarantined + discarded} in quarantine). The control schema was changed by hand, or evenkeel has a defect. Check the table before you rely on it.`
}

/**
 * No more workers than the concurrency allows. Further workers would only wait, and would not learn that it has risen.
 */
function workersFor({ options, overrides }: Run, { pace, age, now }: SharedPace): number {
  if (!isPaced(optionsInForce(options, overrides, new Date(now * 1000)))) return options.parallelism
  return Math.min(options.parallelism, maxWorkersFor(rememberedPace(pace, age)))
}

// A new id for each wake-up: a queue that remembers an id refuses it the second time.
function ticketId(runId: string, ordinal: number): string {
  return `${runId}.${ordinal}.${randomBytes(6).toString('hex')}`
}
