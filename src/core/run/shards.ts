import { Problem } from '../errors.ts'
import { type CheckProgress, type Progress, ratioOf, roundRate } from './progress.ts'
import { explainRefusal, isEnded, legalEvents, type RunEvent, type RunStatus, workableStatuses } from './status.ts'

/**
 * The state of a shard: its status, or why it has none to show. `away`: its database is unreachable, and the shard may
 * be in any state. `missing`: its database is reachable and does not have it.
 */
export type ShardState = RunStatus | 'unreachable' | 'missing'

/** A shard, as far as the merge needs it. */
export interface ShardOfRun {
  readonly database: string
  readonly state: ShardState
  readonly reason: string | null
}

/**
 * Merges the statuses of all shards into one, for every combination. A run at rest (`paused`, `cancelled`, `failed`,
 * `succeeded`) promises that nothing of it is in flight and nothing can commit. So it rests only if every shard is seen
 * to rest, and it has succeeded only if every shard has.
 */
export function mergeStatuses(states: readonly ShardState[]): RunStatus {
  const any = (state: ShardState) => states.includes(state)
  const working = states.filter((state) => (workableStatuses as readonly ShardState[]).includes(state)) as RunStatus[]
  const [first] = working
  if (first !== undefined) return working.every((state) => state === first) ? first : 'running'
  if (any('pausing')) return 'pausing'
  if (any('cancelling')) return 'cancelling'
  // An unreachable shard may be working: workers nearer to its database may well reach it.
  if (any('unreachable')) return 'running'
  if (any('failed')) return 'failed'
  if (any('paused')) return 'paused'
  if (any('cancelled')) return 'cancelled'
  // A shard that was never written can neither work nor succeed.
  return states.length > 0 && states.every((state) => state === 'succeeded') ? 'succeeded' : 'failed'
}

const notable: readonly ShardState[] = ['pausing', 'paused', 'cancelling', 'cancelled', 'failed']

/** Why the run has its status: the reasons of its shards, and each shard that has another status. */
export function mergeReasons(status: RunStatus, parts: readonly ShardOfRun[]): string | null {
  const [first] = parts
  if (first && parts.every(({ state, reason }) => state === status && reason === first.reason)) return first.reason
  const sentences = parts.flatMap(({ database, state, reason }) => {
    if (state === 'unreachable' || state === 'missing') return reason === null ? [] : [reason]
    if (reason === null && (state === status || !notable.includes(state))) return []
    return [`Database ${database} is ${state}${reason === null ? '.' : `: ${reason}`}`]
  })
  return sentences.length === 0 ? null : sentences.join(' ')
}

/** Progress over all shards that can be reached. `unseen`: some cannot. */
export function mergeProgress(
  status: RunStatus,
  parts: ReadonlyArray<{ readonly status: RunStatus; readonly progress: Progress }>,
  unseen: boolean,
): Progress {
  const sum = (of: (progress: Progress) => number) => parts.reduce((total, { progress }) => total + of(progress), 0)
  const rowsScanned = sum((progress) => progress.rowsScanned)
  const rowsTotal = sum((progress) => progress.rowsTotal)
  const stragglers = sum((progress) => progress.stragglers)
  return {
    rowsDone: sum((progress) => progress.rowsDone),
    rowsScanned,
    rowsTotal,
    rowsTotalIsEstimate: parts.some(({ progress }) => progress.rowsTotalIsEstimate),
    ratio: status === 'succeeded' ? 1 : ratioOf(rowsScanned - stragglers, rowsTotal),
    rowsPerSecond: isEnded(status)
      ? meanOfParts(parts)
      : parts.reduce((total, part) => total + (isEnded(part.status) ? 0 : part.progress.rowsPerSecond), 0),
    overallRowsPerSecond: meanOfParts(parts),
    etaSeconds: unseen ? null : etaOfParts(parts),
    check: checkOfParts(parts),
    stragglers,
    quarantined: sum((progress) => progress.quarantined),
    // Shards work side by side: a sum would count more than a minute in a minute.
    throttledSeconds: Math.max(0, ...parts.map(({ progress }) => progress.throttledSeconds)),
  }
}

/** Shards work side by side: all rows, in the time of the shard that took longest. */
function meanOfParts(parts: ReadonlyArray<{ readonly progress: Progress }>): number {
  const rows = parts.reduce((total, { progress }) => total + progress.rowsScanned, 0)
  const seconds = parts.map(({ progress: { rowsScanned, overallRowsPerSecond: mean } }) =>
    mean > 0 ? rowsScanned / mean : 0,
  )
  return roundRate(rows === 0 ? 0 : rows / Math.max(1e-3, ...seconds))
}

/** The checks of the shards together; null if none is being checked. */
function checkOfParts(parts: ReadonlyArray<{ readonly progress: Progress }>): CheckProgress | null {
  const checks = parts.flatMap(({ progress }) => progress.check ?? [])
  if (checks.length === 0) return null
  const sum = (of: (check: CheckProgress) => number) => checks.reduce((total, check) => total + of(check), 0)
  const rowsChecked = sum((check) => check.rowsChecked)
  const rowsTotal = sum((check) => check.rowsTotal)
  const etas = checks.map(({ etaSeconds }) => etaSeconds)
  return {
    rowsChecked,
    rowsTotal,
    ratio: ratioOf(rowsChecked, rowsTotal),
    rowsPerSecond: sum((check) => check.rowsPerSecond),
    etaSeconds: etas.includes(null) ? null : Math.max(...(etas as number[])),
  }
}

/** The longest of the shards that still pass over rows; null if one of them is unknown or stands still. */
function etaOfParts(parts: ReadonlyArray<{ readonly status: RunStatus; readonly progress: Progress }>): number | null {
  const passed: readonly RunStatus[] = ['verifying', 'succeeded', 'failed', 'cancelled']
  const etas = parts.filter(({ status }) => !passed.includes(status)).map(({ progress }) => progress.etaSeconds)
  return etas.length === 0 || etas.includes(null) ? null : Math.max(...(etas as number[]))
}

/** The conflict if an event is illegal for any of these shards. */
export function explainRefusedShards(
  runId: string,
  parts: ReadonlyArray<{ readonly database: string; readonly status: RunStatus }>,
  event: RunEvent,
): Problem {
  const legal = (['pause', 'resume', 'cancel', 'retry'] as const).filter((operators) =>
    parts.some(({ status }) => legalEvents(status).includes(operators)),
  )
  const from = Object.fromEntries(parts.map(({ database, status }) => [database, status]))
  const standing = parts.map(({ database, status }) => `${status} in ${database}`).join(', ')
  return new Problem('conflict', explainRefusal(`Run ${runId} is ${standing}`, event, legal), { from, event, legal })
}
