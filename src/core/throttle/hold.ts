import { z } from 'zod'
import type { RunOptions } from '../job/options.ts'
import { getLimit } from './limits.ts'
import { isOpen, opensAt } from './schedule.ts'
import { formatValue, type Measured, type SignalName, type SignalUnit, signalNames, signalSpecs } from './signal.ts'

/** Everything that can hold a run. */
export const holders = [...signalNames, 'schedule', 'global-pause'] as const

/** Why a run does not work at the moment although it is not paused. */
export interface Hold {
  readonly reason: string
  readonly signal: (typeof holders)[number]
  /** Null if there is none: an unknown signal, a time. */
  readonly value: number | null
  readonly limit: number | null
}

/** A hold as written: by which worker, and since when. */
export interface WrittenHold extends Hold {
  readonly since: string
  readonly by: string
  /** When `by` last confirmed it. */
  readonly seenAt: string
}

/** A hold as a run stores it. */
export const writtenHoldSchema: z.ZodType<WrittenHold> = z.object({
  reason: z.string(),
  signal: z.enum(holders),
  value: z.number().nullable(),
  limit: z.number().nullable(),
  since: z.string(),
  by: z.string(),
  seenAt: z.string(),
})

/** A signal that a run may ignore until a time, with its actor and reason. */
export interface Override {
  readonly signal: SignalName | 'schedule'
  readonly reason: string
  readonly by: string
  readonly since: string
  readonly until: string
}

/** Overrides as a run stores them. */
export const overridesSchema: z.ZodType<readonly Override[]> = z.array(
  z.object({
    signal: z.enum([...signalNames, 'schedule']),
    reason: z.string(),
    by: z.string(),
    since: z.string(),
    until: z.string(),
  }),
)

/** All runs are held: `POST /pause`. */
export interface GlobalPause {
  readonly reason: string | null
  readonly actor: string
  readonly since: Date
}

/** The global pause as JSON from Postgres, in which its time is text. */
export const globalPauseSchema: z.ZodType<GlobalPause> = z.object({
  reason: z.string().nullable(),
  actor: z.string(),
  since: z.string().transform((text) => new Date(text)),
})

export interface HoldInput {
  /** With the overrides that are in force. */
  readonly options: RunOptions
  /** The signal that holds it already: it must fall well below its limit for the run to go on. */
  readonly heldBy: Hold['signal'] | null
  readonly measured: readonly Measured[]
  readonly globalPause: GlobalPause | null
  readonly now: Date
}

/** The fraction of its hard limit below which a signal must stay for three samples before a held run goes on. */
export const releaseFraction = 0.5

/** The gravest reason that holds a run now; null if it may work. */
export function evaluateHold(input: HoldInput): Hold | null {
  return (input.globalPause && globalPauseHold(input.globalPause)) ?? scheduleHold(input) ?? signalHold(input)
}

/** A process may compute the database's time a little late or early. Milliseconds. */
const clockSlackMs = 1000

/**
 * The overrides still in force. One that begins in the future was written before the clock went back: its end is
 * unknown.
 */
export function overridesInForce(overrides: readonly Override[], now: Date): Override[] {
  return overrides.filter(
    ({ since, until }) => new Date(until) > now && new Date(since).getTime() <= now.getTime() + clockSlackMs,
  )
}

/** A run's options with the overrides in force at this time. */
export function optionsInForce(options: RunOptions, overrides: readonly Override[], now: Date): RunOptions {
  const ignored = overridesInForce(overrides, now).map(({ signal }) => signal)
  const signals = ignored.filter((signal) => signal !== 'schedule').map((signal) => [signal, false] as const)
  return {
    ...options,
    schedule: ignored.includes('schedule') ? null : options.schedule,
    signals: { ...options.signals, ...Object.fromEntries(signals) },
  }
}

export function globalPauseHold({ actor, since, reason }: GlobalPause): Hold {
  return {
    reason: `${actor} paused all runs at ${since.toISOString()}${reason ? `: ${reason}` : ''}. POST /resume lets them go on.`,
    signal: 'global-pause',
    value: null,
    limit: null,
  }
}

function scheduleHold({ options: { schedule }, now }: HoldInput): Hold | null {
  if (!schedule || isOpen(schedule, now)) return null
  return {
    reason: `The run is outside its schedule (${schedule.cron}, ${schedule.timeZone}) and goes on by itself at ${opensAt(schedule, now).toISOString()}.`,
    signal: 'schedule',
    value: null,
    limit: null,
  }
}

function signalHold(input: HoldInput): Hold | null {
  const holds = input.measured.flatMap((measured) => judge(measured, input) ?? [])
  // Unknown is graver than any number, and a missing standby says more than its lag.
  const gravity = ({ signal, value, limit }: Hold) =>
    value === null ? Number.POSITIVE_INFINITY : signal === 'replicas-missing' ? Number.MAX_VALUE : value / (limit ?? 1)
  return holds.reduce<Hold | null>((worst, hold) => (worst && gravity(worst) >= gravity(hold) ? worst : hold), null)
}

function judge(measured: Measured, { options, heldBy }: HoldInput): Hold | null {
  const { signal, value, detail } = measured
  const limit = getLimit(signal, options)
  if (!limit) return null
  const { unit, essential } = signalSpecs[signal]
  if (value === null) {
    if (!essential) return null
    return { reason: `${signal} is not known, so nothing is written. ${detail}`, signal, value, limit: limit.hard }
  }
  if (limit.rows !== undefined) return judgeValue(inRows(measured), 'rows', limit.rows, heldBy === signal)
  if (limit.hard === null) return null
  return judgeValue({ ...measured, value }, unit, limit.hard, heldBy === signal)
}

function judgeValue(
  { signal, value, detail, worst, outlook }: Measured & { readonly value: number },
  unit: SignalUnit,
  limit: number,
  held: boolean,
): Hold | null {
  const is = `${signal} is ${formatValue(unit, value)} (${detail})`
  const more = outlook === undefined ? '' : ` ${outlook}`
  if (value >= limit) return { reason: `${is}; the limit is ${formatValue(unit, limit)}.${more}`, signal, value, limit }
  if (!held || (worst !== null && worst < releaseFraction * limit)) return null
  const under = formatValue(unit, releaseFraction * limit)
  return {
    reason: `${is}; the run goes on once it has stayed under ${under} for a moment.${more}`,
    signal,
    value,
    limit,
  }
}

/** The table hardly changes its size within three samples: its worst fraction is its worst number of rows too. */
function inRows(measured: Measured): Measured & { readonly value: number } {
  const { value, worst, rows = 0 } = measured
  if (!worst) return { ...measured, value: rows }
  return { ...measured, value: rows, worst: value ? (worst / value) * rows : Number.POSITIVE_INFINITY }
}
