import { type Phase, type PhaseName, phaseNames, phases } from '../range/phase.ts'
import type { RunEvent, RunStatus } from './status.ts'

/** A range as the decision sees it. */
export interface RangeState {
  readonly ordinal: number
  readonly phase: PhaseName
  readonly done: boolean
  /** A worker holds it, or its ticket is out. */
  readonly taken: boolean
  /** Part of it has been passed. */
  readonly begun: boolean
  /** It is not to be woken yet: it met trouble, or was told to wait. */
  readonly waiting: boolean
}

export interface RunState {
  readonly id: string
  readonly status: RunStatus
  readonly parallelism: number
  /** It may not work at the moment, so its ranges get no tickets. */
  readonly held: boolean
  readonly ranges: readonly RangeState[]
  /** Rows to come back to; if there are very many, a lower bound. */
  readonly stragglers: number
  /** Rows in slices that the residual check will send back as ranges. */
  readonly leftovers: number
  /** Rows in quarantine, without those that were discarded. */
  readonly quarantined: number
  readonly succeedWithQuarantined: boolean
  /** How often the residual check has found rows so far. */
  readonly verifyRounds: number
}

/** The next step of a run: tickets for ranges, or a change of status, after which the run is asked again. */
export type Step =
  | { readonly kind: 'dispatch'; readonly ordinals: readonly number[] }
  | { readonly kind: 'event'; readonly event: RunEvent; readonly reason: string | null }

/** Rows found at the end are done and checked again, this often. After that, something keeps adding them. */
export const maxVerifyRounds = 5

/**
 * Decides the next step of a run. The first phase with open ranges is worked on. The check by page may be left out.
 * Rows that the checks find go back to the phases that change rows.
 */
export function nextStep(run: RunState): Step {
  const working = run.status === 'queued' || run.status === 'running'
  if (working) {
    const open = openPhase(run, 'running')
    if (open) return dispatch(run, open)
    // No range is left to lease, so no worker will say start: the run was resumed at its very end.
    return event(run.status === 'queued' ? 'start' : 'verify')
  }
  if (run.status === 'verifying') {
    const open = openPhase(run, 'verifying')
    if (open) return dispatch(run, open)
    const found = foundRows(run)
    if (found === 0) return endOf(run)
    if (run.verifyRounds < maxVerifyRounds) return event('found-remaining')
    return event(
      'fail',
      `After ${maxVerifyRounds} rounds at least ${found} rows still match where: something keeps writing rows that match. Let the application fill the new column first, then retry.`,
    )
  }
  return { kind: 'dispatch', ordinals: [] }
}

/** The open ranges of the phase that a run works on now, among those of one status. Null if no such phase is due. */
function openPhase(run: RunState, status: Phase['status']): readonly RangeState[] | null {
  for (const name of phaseNames.filter((each) => phases[each].status === status)) {
    const open = run.ranges.filter(({ phase, done }) => phase === name && !done)
    if (isDue(run, phases[name], open)) return open
  }
  return null
}

function isDue(run: RunState, { over }: Phase, open: readonly RangeState[]): boolean {
  if (over === 'stragglers') return run.stragglers > 0
  return open.length > 0 && (over !== 'pages' || goesByPages(run))
}

/**
 * Rows that the checks have found. Not a sum: the check by page finds as stragglers what the check by key found in
 * slices.
 */
function foundRows({ stragglers, leftovers }: RunState): number {
  return Math.max(stragglers, leftovers)
}

/**
 * The check by page follows a check by key that found nothing; otherwise it would find the same rows again. It also
 * runs before the run is given up: the index may be wrong, so that rows are found and never done.
 */
function goesByPages(run: RunState): boolean {
  const { ranges, verifyRounds } = run
  return (
    foundRows(run) === 0 ||
    verifyRounds >= maxVerifyRounds ||
    ranges.some(({ phase, begun }) => phase === 'pages' && begun)
  )
}

/** All is done and checked, except the rows in quarantine. */
function endOf({ id, quarantined, succeedWithQuarantined }: RunState): Step {
  if (quarantined === 0) return event('succeed')
  const rows = `${quarantined} ${quarantined === 1 ? 'row that fails by itself is' : 'rows that fail by themselves are'} in quarantine`
  if (succeedWithQuarantined)
    return event('succeed', `Every other row is done: ${rows}, which succeedWithQuarantined allows.`)
  return event(
    'fail',
    `Every other row is done and checked, but ${rows}. See GET /runs/${id}/quarantine. Repair the rows and POST /runs/${id}/quarantine/retry, or give them up with POST /runs/${id}/quarantine/discard and then POST /runs/${id}/retry.`,
  )
}

function dispatch(run: RunState, ranges: readonly RangeState[]): Step {
  if (run.held) return { kind: 'dispatch', ordinals: [] }
  const taken = run.ranges.filter((range) => range.taken).length
  // A range that waits must not take the only slot from one that could work.
  const free = ranges.filter((range) => !range.taken).sort((a, b) => Number(a.waiting) - Number(b.waiting))
  return {
    kind: 'dispatch',
    ordinals: free.slice(0, Math.max(0, run.parallelism - taken)).map((range) => range.ordinal),
  }
}

function event(name: RunEvent, reason: string | null = null): Step {
  return { kind: 'event', event: name, reason }
}
