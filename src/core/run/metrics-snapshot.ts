import type { PhaseName } from '../range/phase.ts'
import { sum } from '../statistics.ts'
import type { EventKind } from './events.ts'
import type { Progress } from './progress.ts'
import { type RunStatus, runEvents, workableStatuses } from './status.ts'

/** The events to mark in a graph of a run: each change of status but `drained`, and the changes of its pace. */
export const markedEvents: readonly EventKind[] = [
  ...runEvents.filter((event) => event !== 'drained'),
  'held',
  'released',
  'options',
]

/** How long an event stays marked after its run has ended: longer than any scrape interval. Seconds. */
export const markedForSeconds = 900

/**
 * How long the end of a job's last run is reported; a failure until the job runs again or the run is cancelled.
 * Seconds.
 */
export const toldForSeconds = 30 * 86_400

/**
 * What a range is doing: `leased` to a worker, `queued` with its ticket out, `waiting` until a time, or none of these.
 */
export const rangeStates = ['done', 'leased', 'queued', 'waiting', 'idle'] as const
export type RangeState = (typeof rangeStates)[number]

export interface RangeCount {
  readonly phase: PhaseName
  readonly state: RangeState
  readonly count: number
}

/** A live run as the snapshot counts it. */
export interface CountedRun {
  readonly job: string
  readonly status: RunStatus
  readonly progress: Progress
  /** `maxRowsPerSecond`. */
  readonly rateLimit: number | null
  readonly maxQuarantined: number
  readonly verifyRounds: number
  readonly stalled: boolean
  readonly lastCheckpointAt: Date | null
  /** The signal of its hold. */
  readonly heldBy: string | null
  /** The cause that slows it; null while it is held. */
  readonly slowedBy: string | null
  readonly ranges: readonly RangeCount[]
}

/** The counts of one database. */
export interface MetricsInput {
  readonly live: readonly CountedRun[]
  /** One for each job of which a run ended recently. */
  readonly lastEnded: ReadonlyArray<{ readonly job: string; readonly status: RunStatus }>
  /** Jobs whose runs failed and were not run again. */
  readonly failed: ReadonlyArray<{ readonly job: string; readonly quarantined: number }>
}

/** All metrics of one database, from one read. */
export interface MetricsSnapshot {
  readonly runsByStatus: ReadonlyMap<RunStatus, number>
  readonly jobs: readonly JobMetrics[]
  /** When each kind of event last happened to a run that is live or ended a moment ago. */
  readonly lastEvents: ReadonlyArray<{ readonly job: string; readonly event: EventKind; readonly at: Date }>
  readonly pace: { readonly concurrency: number; readonly leases: number; readonly targetSeconds: number }
  /** How long the oldest waiting ticket has been due; 0 if none waits. */
  readonly oldestTicketSeconds: number
  /** WAL that the cluster has written since its creation; null on a server that only replays. */
  readonly walBytes: number | null
}

/** The runs of one job together. */
export interface JobMetrics {
  readonly job: string
  /** Of live runs, of failed runs that were not run again and, if none is live, of the last run that ended. */
  readonly statuses: ReadonlySet<RunStatus>
  /** Of the live run that is nearest to its limit; if none is live, of failed runs that were not run again. */
  readonly quarantined: number
  /** Of that run. Null if none is live. */
  readonly maxQuarantined: number | null
  /** Null if no run is live. */
  readonly live: LiveMetrics | null
}

export interface LiveMetrics {
  /** The least of all runs. */
  readonly progressRatio: number
  readonly rowsPerSecond: number
  /** Null if one of the runs has no limit. */
  readonly rateLimit: number | null
  /** The longest; null if none is known. */
  readonly etaSeconds: number | null
  readonly stragglers: number
  /** The most of all runs. */
  readonly verifyRounds: number
  /** Null if no run is to be worked on. */
  readonly stalled: boolean | null
  /** Of runs that are to be worked on. */
  readonly lastCheckpointAt: Date | null
  readonly held: ReadonlyMap<string, number>
  readonly slowed: ReadonlyMap<string, number>
  readonly ranges: readonly RangeCount[]
}

/** Adds up the runs of each job, or takes the worst of them where a sum would say nothing. */
export function summarizeJobs({ live, lastEnded, failed }: MetricsInput): JobMetrics[] {
  const jobs = new Set([...live, ...lastEnded, ...failed].map(({ job }) => job))
  return [...jobs].map((job) => {
    const runs = live.filter((run) => run.job === job)
    const failures = failed.filter((run) => run.job === job)
    const nearest = nearestToLimit(runs)
    return {
      job,
      statuses: new Set([
        ...runs.map(({ status }) => status),
        ...failures.map((): RunStatus => 'failed'),
        ...lastEnded
          .filter((run) => run.job === job && runs.length === 0 && run.status !== 'failed')
          .map(({ status }) => status),
      ]),
      quarantined: nearest?.progress.quarantined ?? sum(failures.map(({ quarantined }) => quarantined)),
      maxQuarantined: nearest?.maxQuarantined ?? null,
      live: summarizeLive(runs),
    }
  })
}

/** The run with the least room for more rows in quarantine, relative to its limit. */
function nearestToLimit(runs: readonly CountedRun[]): CountedRun | null {
  const share = ({ progress, maxQuarantined }: CountedRun) => progress.quarantined / Math.max(1, maxQuarantined)
  return runs.reduce<CountedRun | null>((most, run) => (most === null || share(run) > share(most) ? run : most), null)
}

function summarizeLive(runs: readonly CountedRun[]): LiveMetrics | null {
  if (runs.length === 0) return null
  const workable = runs.filter(({ status }) => (workableStatuses as readonly RunStatus[]).includes(status))
  const limits = runs.flatMap(({ rateLimit }) => (rateLimit === null ? [] : [rateLimit]))
  const etas = runs.flatMap(({ progress }) => (progress.etaSeconds === null ? [] : [progress.etaSeconds]))
  const checkpoints = workable.flatMap(({ lastCheckpointAt }) => (lastCheckpointAt ? [lastCheckpointAt.getTime()] : []))
  return {
    progressRatio: Math.min(...runs.map(({ progress }) => progress.ratio)),
    rowsPerSecond: sum(runs.map(({ progress }) => progress.rowsPerSecond)),
    rateLimit: limits.length === runs.length ? sum(limits) : null,
    etaSeconds: etas.length > 0 ? Math.max(...etas) : null,
    stragglers: sum(runs.map(({ progress }) => progress.stragglers)),
    verifyRounds: Math.max(...runs.map((run) => run.verifyRounds)),
    stalled: workable.length > 0 ? workable.some(({ stalled }) => stalled) : null,
    lastCheckpointAt: checkpoints.length > 0 ? new Date(Math.max(...checkpoints)) : null,
    held: countBy(runs.map(({ heldBy }) => heldBy)),
    slowed: countBy(runs.map(({ slowedBy }) => slowedBy)),
    ranges: addUp(runs.flatMap(({ ranges }) => ranges)),
  }
}

function addUp(ranges: readonly RangeCount[]): RangeCount[] {
  const sums = new Map<string, RangeCount>()
  for (const { phase, state, count } of ranges) {
    const key = `${phase} ${state}`
    sums.set(key, { phase, state, count: count + (sums.get(key)?.count ?? 0) })
  }
  return [...sums.values()]
}

function countBy(names: ReadonlyArray<string | null>): Map<string, number> {
  const counts = new Map<string, number>()
  for (const name of names) if (name !== null) counts.set(name, (counts.get(name) ?? 0) + 1)
  return counts
}
