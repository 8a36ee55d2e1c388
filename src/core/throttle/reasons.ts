import { z } from 'zod'
import { type RunStatus, workableStatuses } from '../run/status.ts'
import type { PaceCause } from './response.ts'
import { signalNames } from './signal.ts'

/**
 * What slows a run that is not held, apart from trouble: a signal, `maxRowsPerSecond`, a pace that has just started, or
 * missing workers.
 */
export const throttleReasons = [...signalNames, 'rate', 'start', 'workers'] as const

/** What holds a run back, as the API shows it. */
export interface Throttle {
  readonly reason: string
  readonly signal: string
  readonly value: number | null
  readonly limit: number | null
  readonly since: string
}

/** What a range waits for, as stored. */
export const throttleSchema: z.ZodType<Throttle> = z.object({
  reason: z.string(),
  signal: z.string(),
  value: z.number().nullable(),
  limit: z.number().nullable(),
  since: z.string(),
})

/** Everything that can hold a run back at the moment. */
export interface ThrottleCauses {
  readonly status: RunStatus
  readonly hold: Throttle | null
  /** evenkeel's commits that wait for a synchronous standby; null if none does. */
  readonly standbyWait: { readonly sessions: number; readonly since: Date } | null
  /** Trouble that one of its ranges waits for. */
  readonly trouble: Throttle | null
  /** The last sign of a run whose database is read-only now; null if it takes writes. */
  readonly readOnlySince: Date | null
  /** `maxRowsPerSecond`, and since when workers wait for it; null if none does now. */
  readonly rate: { readonly limit: number; readonly rowsPerSecond: number; readonly since: Date } | null
  /** Why the concurrency is not higher; null if the run ignores it, or no process has sampled for some seconds. */
  readonly pace: { readonly cause: PaceCause; readonly since: Date } | null
  /**
   * The last step of the pace, if workers have waited for the next one for seconds; null if the run ignores the pace.
   */
  readonly paceStuckSince: Date | null
  /** Since when no worker has taken any of its tickets; null if one works on it. */
  readonly untaken: UntakenTicket | null
}

export interface UntakenTicket {
  readonly since: Date
  readonly seconds: number
  /** Other runs that workers work on. */
  readonly othersAtWork: number
}

/** A free worker takes a ticket within this time. Seconds. */
const promptSeconds = 5

/** The gravest reason that holds a run back now; null if there is none. */
export function evaluateThrottle(brakes: ThrottleCauses): Throttle | null {
  const { status, hold, standbyWait, trouble, readOnlySince, rate, pace, paceStuckSince, untaken } = brakes
  if (hold) {
    const { reason, signal, value, limit, since } = hold
    return { reason, signal, value, limit, since }
  }
  if (!(workableStatuses as readonly RunStatus[]).includes(status)) return null
  if (readOnlySince) return readOnly(readOnlySince)
  if (standbyWait) return withoutStandby(standbyWait)
  if (trouble) return trouble
  if (untaken && untaken.seconds > promptSeconds) return withoutWorker(untaken)
  if (status === 'queued') return null
  if (rate)
    return {
      reason: 'maxRowsPerSecond is reached.',
      signal: 'rate',
      value: Math.round(rate.rowsPerSecond),
      limit: rate.limit,
      since: rate.since.toISOString(),
    }
  if (paceStuckSince) return withoutPace(paceStuckSince)
  return pace && { ...pace.cause, since: pace.since.toISOString() }
}

function readOnly(since: Date): Throttle {
  return {
    reason:
      'The database takes no writes at the moment: it is read-only, or a standby. The run goes on by itself once it does.',
    signal: 'read-only',
    value: null,
    limit: null,
    since: since.toISOString(),
  }
}

function withoutStandby({ sessions, since }: NonNullable<ThrottleCauses['standbyWait']>): Throttle {
  const from = since.toISOString()
  return {
    reason: `Commits wait for a synchronous standby: ${sessions} ${sessions === 1 ? 'session' : 'sessions'} of evenkeel since ${from}. Bring the standby back, or take it out of synchronous_standby_names.`,
    signal: 'synchronous-standby',
    value: sessions,
    limit: null,
    since: from,
  }
}

function withoutPace(since: Date): Throttle {
  const from = since.toISOString()
  return {
    reason: `The pace stays as it was at ${from}, because no process can write its next step. The log of the workers says why.`,
    signal: 'start',
    value: null,
    limit: null,
    since: from,
  }
}

function withoutWorker({ since, othersAtWork }: UntakenTicket): Throttle {
  const from = since.toISOString()
  const others = othersAtWork === 1 ? '1 other run has' : `${othersAtWork} other runs have`
  return {
    reason:
      othersAtWork === 0
        ? `No worker has taken this run's tickets since ${from}: start a process with ROLE=worker or ROLE=both. If one runs, its log says why it takes none.`
        : `No worker has taken this run's tickets since ${from}: ${others} the workers' slots. It waits for a free one; another process with ROLE=worker brings more.`,
    signal: 'workers',
    value: null,
    limit: null,
    since: from,
  }
}
