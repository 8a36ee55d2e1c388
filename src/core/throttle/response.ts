import { z } from 'zod'
import { median } from '../statistics.ts'
import type { Limit } from './limits.ts'
import { formatValue, type Measured, type SignalName, signalNames, signalSpecs } from './signal.ts'

/** Why the concurrency is below the workers' capacity. */
export interface PaceCause {
  readonly reason: string
  readonly signal: SignalName | 'start'
  /** Null if it is unknown. */
  readonly value: number | null
  readonly limit: number
}

/** A cause as the pace stores it. */
export const paceCauseSchema: z.ZodType<PaceCause> = z.object({
  reason: z.string(),
  signal: z.enum([...signalNames, 'start']),
  value: z.number().nullable(),
  limit: z.number(),
})

/**
 * How a signal responds to the concurrency. A lag and a backlog accumulate any excess, and fall by themselves once less
 * comes in than can be taken away. A pressure responds at once. A notice hardly responds, and only says: not more.
 */
export const signalKinds: Readonly<Record<SignalName, 'lag' | 'backlog' | 'pressure' | 'notice'>> = {
  'replica-lag': 'lag',
  'replica-bytes': 'backlog',
  'replicas-missing': 'notice',
  heartbeat: 'lag',
  slots: 'backlog',
  archive: 'backlog',
  blocked: 'pressure',
  active: 'pressure',
  foreground: 'notice',
  'commit-latency': 'pressure',
  'dead-tuples': 'notice',
  vacuum: 'notice',
  snapshot: 'notice',
}

/**
 * The least part of its input that a replica is assumed to replay: one that stands still would bring the concurrency to
 * 0.
 */
const minReplayed = 1 / 3
/** The least part of the concurrency that one step leaves, for any other signal. */
const maxCutPerStep = 0.5
/**
 * How much the distance to the soft limit counts, per second. A lag settles after some ten seconds. A backlog takes a
 * minute, because it is not known how much of it is ours. A pressure responds at once.
 */
const gains = { lag: 0.2, backlog: 0.05, pressure: 0.3 } as const
/** How far ahead a backlog is extrapolated. */
const foresightSeconds = 6
/**
 * A backlog that will reach its soft limit within this time is left alone. Small ones respond slowly, and a correction
 * would overshoot.
 */
const comingSeconds = 60

/** What one signal asks for. */
export interface SignalResponse {
  readonly signal: SignalName | null
  /** The factor for the concurrency; 1 keeps it. */
  readonly factor: number
  readonly cause: PaceCause | null
}

/** What a signal asks for, by its recent values, newest last. `concurrencies`: the recent values of the concurrency. */
export function respondTo(
  measured: Measured,
  values: readonly number[],
  limit: Limit,
  concurrency: number,
  concurrencies: readonly number[],
): SignalResponse {
  const { signal } = measured
  const factor =
    signalKinds[signal] === 'lag'
      ? replayed(values, limit.soft, concurrencies) / concurrency
      : ease(measured, values, limit)
  return { signal, factor, cause: causeOf(measured, values.at(-1) ?? 0, limit, factor) }
}

/** The concurrency that a replica can take, by the change of its lag and by what was sent to it when that began. */
function replayed(values: readonly number[], soft: number, concurrencies: readonly number[]): number {
  const lag = values.at(-1) ?? 0
  const since = Math.round(lag + (values.length - 1) / 2)
  const sent = concurrencies.at(-1 - since) ?? concurrencies[0] ?? 0
  return sent * Math.max(minReplayed, (1 - slopeOf(values)) * towards(lag / soft, gains.lag))
}

/** The factor for a signal that does not tell how much would be right. */
function ease({ signal, worst }: Measured, values: readonly number[], { soft, hard }: Limit): number {
  const value = values.at(-1) ?? 0
  switch (signalKinds[signal]) {
    case 'backlog': {
      const soon = value + slopeOf(values) * foresightSeconds
      const later = value + slopeOf(values) * comingSeconds
      const coming = value < soft ? soon < soft && later >= soft : later < soft
      return coming ? 1 : towards(soon / soft, gains.backlog)
    }
    case 'pressure':
      // A signal that has just held a run may be gone when the next step is made.
      if (hard !== null && worst !== null && worst >= hard) return maxCutPerStep
      // A single outlier is ignored.
      return towards(median(values) / soft, gains.pressure)
    default:
      return value < soft ? Number.POSITIVE_INFINITY : 1
  }
}

/** Falls as a value approaches 1, its soft limit, and is below 1 beyond it. */
function towards(part: number, gain: number): number {
  if (part <= 0) return Number.POSITIVE_INFINITY
  return part < 1 ? 1 + gain * (1 / part - 1) : Math.max(maxCutPerStep, 1 - gain * (part - 1))
}

function causeOf({ signal, detail }: Measured, value: number, { soft, hard }: Limit, factor: number): PaceCause | null {
  if (value < soft && factor >= 1) return null
  const { unit } = signalSpecs[signal]
  const rises = value < soft ? ' and rises' : ''
  const what = signalKinds[signal] === 'notice' ? 'does not grow' : 'comes down'
  return {
    reason: `${signal} is ${formatValue(unit, value)} (${detail})${rises}: from ${formatValue(unit, soft)} on the pace ${what}.`,
    signal,
    value,
    limit: hard ?? soft,
  }
}

/** Change per second over the trail. */
function slopeOf(values: readonly number[]): number {
  const first = values[0]
  const last = values.at(-1)
  return values.length < 2 || first === undefined || last === undefined ? 0 : (last - first) / (values.length - 1)
}
