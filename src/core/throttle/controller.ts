import { z } from 'zod'
import type { RunOptions } from '../job/options.ts'
import { strictestLimit } from './limits.ts'
import { type PaceCause, paceCauseSchema, respondTo, type SignalResponse, signalKinds } from './response.ts'
import { formatValue, type Measured, type SignalName, signalNames, signalSpecs } from './signal.ts'

/**
 * How much evenkeel may do on one database, over all processes and runs. The unit is batches in flight, on average: 0.5
 * is one worker that works half of its time, or two that work a quarter. Rows per second would be the wrong unit. A row
 * that is only read, one updated in place and one with five indexes differ a hundredfold in cost. A limit found in a
 * sparse stretch would be far too high in the dense one behind it.
 */
export interface Pace {
  /** Batches in flight, on average; never above the number of workers. */
  readonly concurrency: number
  /** How long one batch should take if the run's options leave it open. Seconds. */
  readonly targetSeconds: number
  /** Why the concurrency is below the workers' capacity; null if it is not. */
  readonly cause: PaceCause | null
  /** Since when this is the cause; null without one. Seconds, on the database's clock. */
  readonly causeSince: number | null
  /** What has slowed it down, and may be over by now; null once the concurrency has come back. */
  readonly slowed: Slowdown | null
  /** When the concurrency was last lowered; 0 if never. Seconds, on the database's clock. */
  readonly loweredAt: number
  /** Ranges that workers held at the last few steps: between two slices one may hold none for a moment. */
  readonly recentWorkers: readonly number[]
  /** The last values, newest last: of each signal that counts, and of the concurrency while there was work. */
  readonly trail: Trail
}

/** A signal that lowered the concurrency: since when, and its worst value. */
export interface Slowdown {
  readonly signal: SignalName
  readonly since: number
  readonly value: number
}

type Trail = Readonly<Partial<Record<SignalName | 'concurrency', readonly number[]>>>

/** A pace as the database stores it. */
export const paceSchema: z.ZodType<Pace> = z.object({
  concurrency: z.number(),
  targetSeconds: z.number(),
  cause: paceCauseSchema.nullable(),
  causeSince: z.number().nullable(),
  slowed: z.object({ signal: z.enum(signalNames), since: z.number(), value: z.number() }).nullable(),
  loweredAt: z.number(),
  recentWorkers: z.array(z.number()),
  trail: z.partialRecord(z.enum([...signalNames, 'concurrency']), z.array(z.number())),
})

/** The input of a step. Steps are about a second apart. */
export interface PaceInput {
  /** Seconds, on the database's clock. */
  readonly now: number
  /** Ranges that workers hold. */
  readonly workers: number
  readonly measured: readonly Measured[]
  /** Of the live runs. */
  readonly options: ReadonlyArray<Pick<RunOptions, 'signals' | 'maxLagSeconds'>>
}

const initialConcurrency = 0.02
/** So little that even a replica in trouble keeps up with it, and enough to learn from. */
const minConcurrency = 0.002
/** Fraction of each worker's time while other sessions are active, or may be: the gaps between batches are theirs. */
const politePart = 0.4
/**
 * The same, below which no pressure lowers the concurrency. Other sessions may cause the pressure themselves, and it
 * would then stop us for nothing.
 */
const pressedPart = 0.1
const usualGrowth = 1.15
/** As long as nothing has ever limited it. */
const startGrowth = 1.35
/** The same if no signal that accumulates is watched: one would show too late that it was too much. */
const boldGrowth = 3
/** And if, in addition, no other session is there to feel it: at once. */
const aloneGrowth = 50
const startTargetSeconds = 0.02
const shortestSeconds = 0.001
const longestSeconds = 0.3
/**
 * The most that a batch and its wait may take together: rarer and larger batches would reach a slow replica in lumps.
 */
const turnSeconds = 0.25
/** With a longer one, a replica that has become slow is noticed too late. */
const trailLength = 3
/** For a lag longer than so many steps, the concurrency of that time is no longer known. */
const trailOfConcurrency = 64
const recentSteps = 5
/** The pace that a database begins with: low, until more is known. */
export const initialPace: Pace = {
  concurrency: initialConcurrency,
  targetSeconds: startTargetSeconds,
  cause: null,
  causeSince: null,
  slowed: null,
  loweredAt: 0,
  recentWorkers: [],
  trail: {},
}

/**
 * One step of the controller. The concurrency follows the signal that asks for least. It grows by at most 1.15 a second
 * (faster as long as nothing has ever limited it), and settles where that signal is at its soft limit.
 *
 * A replica shows how much it can take: when its lag grows by s seconds a second, it replays 1 - s of what it is sent.
 * What it replays now was sent when the lag began. So the step starts from the concurrency of that time, not from the
 * present one. It then responds once to one cause, however long the effect takes to show.
 *
 * While no worker holds a range, or has just given it back, nothing is learned: evenkeel does not cause what is
 * measured.
 */
export function stepPace(pace: Pace, input: PaceInput): Pace {
  const concurrencies = pace.trail.concurrency ?? [pace.concurrency]
  const trail: Partial<Record<SignalName | 'concurrency', readonly number[]>> = { concurrency: concurrencies }
  const responses: SignalResponse[] = []
  const company = companyOf(input)
  const growth = growthOf(pace, input, company)
  const recent = [...pace.recentWorkers, input.workers].slice(-recentSteps)
  const workers = Math.max(...recent)
  for (const signal of signalNames) {
    const limit = strictestLimit(signal, input.options)
    const measured = limit && worstOf(signal, input.measured)
    if (!limit || !measured || measured.value === null || signal === 'foreground') continue
    // Commits are slower than on a quiet database, and no other session is there to feel it: evenkeel itself is the
    // cause.
    if (signal === 'commit-latency' && !company) continue
    const values = [...(pace.trail[signal] ?? []), measured.value].slice(-trailLength)
    trail[signal] = values
    // Below the level to which a pressure can lower the concurrency, it does not limit growth either.
    if (signalKinds[signal] === 'pressure' && pace.concurrency < pressedPart * workers) continue
    responses.push(respondTo(measured, values, limit, pace.concurrency, concurrencies))
  }
  const seen: Pace = { ...pace, recentWorkers: recent, trail, targetSeconds: nextTarget(pace, workers, input, company) }
  if (input.workers === 0 && !pace.recentWorkers.at(-1)) return seen

  const lowest = responses.reduce<SignalResponse>(
    (least, response) => (least.factor <= response.factor ? least : response),
    {
      signal: null,
      factor: growth,
      cause: null,
    },
  )
  const most = ceilingOf(workers, company)
  const least =
    lowest.signal !== null && signalKinds[lowest.signal] === 'pressure' ? pressedPart * workers : minConcurrency
  const wanted = Math.max(Math.min(pace.concurrency, least), pace.concurrency * lowest.factor)
  const concurrency = Math.min(wanted, most.concurrency)
  const recovered = wanted >= most.concurrency
  const slowed = recovered ? null : slowdownOf(pace.slowed, lowest.cause, input.now)
  const cause =
    concurrency >= workers
      ? null
      : (lowest.cause ?? (recovered ? most.cause : growingBack(slowed, input, concurrency, workers)))
  return {
    ...seen,
    concurrency: concurrency,
    cause,
    causeSince: cause && (cause.signal === pace.cause?.signal ? (pace.causeSince ?? input.now) : input.now),
    slowed,
    trail: { ...trail, concurrency: [...concurrencies, Number(concurrency.toPrecision(4))].slice(-trailOfConcurrency) },
    loweredAt: wanted < pace.concurrency ? input.now : pace.loweredAt,
  }
}

/**
 * The fraction of its time that each of so many workers may spend in batches. Workers between two slices are counted as
 * well: they are back before the others could learn that there are more of them.
 */
export function dutyCycleOf({ concurrency, recentWorkers }: Pace, workers: number): number {
  return Math.min(1, concurrency / Math.max(1, workers, ...recentWorkers))
}

/** With a smaller fraction of its time a worker's turns are so rare that it learns of a change too late. */
const minShare = 0.01

/** How many workers the concurrency is enough for: a low one for a few that work, not for sixteen that wait. */
export function maxWorkersFor({ concurrency }: Pace): number {
  return Math.ceil(concurrency / minShare)
}

/** After so long without work, nothing that was learned still holds. */
const forgottenAfterSeconds = 60

/** The pace of a last step that is so many seconds old. */
export function rememberedPace(pace: Pace, age: number): Pace {
  return age > forgottenAfterSeconds ? initialPace : pace
}

function growthOf({ loweredAt }: Pace, { measured }: PaceInput, company: PaceCause | null): number {
  if (loweredAt > 0) return usualGrowth
  if (measured.some(({ signal }) => signalKinds[signal] === 'lag')) return startGrowth
  return company ? boldGrowth : aloneGrowth
}

/** The signal that slows the concurrency at this step, or that slowed it before and is not recovered from yet. */
function slowdownOf(before: Slowdown | null, cause: PaceCause | null, now: number): Slowdown | null {
  if (!cause || cause.signal === 'start' || cause.value === null) return before ?? null
  const { signal, value } = cause
  const same = before?.signal === signal ? before : { signal, since: now, value }
  return { ...same, value: Math.max(same.value, value) }
}

/** Nothing limits the pace any more: names the past cause, with its present value. */
function growingBack(
  slowed: Slowdown | null,
  { measured, options }: PaceInput,
  concurrency: number,
  workers: number,
): PaceCause {
  const limit = slowed && strictestLimit(slowed.signal, options)
  if (!slowed || !limit)
    return {
      reason: 'The pace grows step by step while nothing is in its way.',
      signal: 'start',
      value: round(concurrency),
      limit: workers,
    }
  const { signal, since, value } = slowed
  const { unit } = signalSpecs[signal]
  const now = worstOf(signal, measured)?.value ?? null
  const is = now === null ? 'it is not known now' : `it is ${formatValue(unit, now)} now`
  const from = new Date(since * 1000).toISOString()
  return {
    reason: `Slow since ${from} because ${signal} was ${formatValue(unit, value)}; ${is}, and the pace grows again.`,
    signal,
    value: now,
    limit: limit.hard ?? limit.soft,
  }
}

/**
 * Other sessions that are active, or may be: a signal that counts and cannot be read is taken for their presence. Null
 * if no session is active, or no run watches for them.
 */
function companyOf({ measured, options }: PaceInput): PaceCause | null {
  for (const reading of measured) {
    const limit = strictestLimit(reading.signal, options)
    // commit-latency tells how other sessions fare, not whether there are any. At first it does not know what is usual.
    if (!limit || reading.signal === 'commit-latency') continue
    const { signal, value, detail } = reading
    const cause = { signal, value, limit: limit.hard ?? limit.soft }
    if (value === null)
      return {
        ...cause,
        reason: `${signal} is not known, so workers leave most of the time to other sessions. ${detail}`,
      }
    if (signal === 'foreground' && value > 0)
      return { ...cause, reason: `Other sessions are active (${detail}): workers leave them most of the time.` }
  }
  return null
}

/** The upper limit, whatever the other signals say. */
function ceilingOf(workers: number, company: PaceCause | null): { concurrency: number; cause: PaceCause | null } {
  return { concurrency: company ? workers * politePart : workers, cause: company }
}

/** Short while other sessions are active, because they feel how long one batch runs; long while there are none. */
function nextTarget(
  { targetSeconds, concurrency }: Pace,
  workers: number,
  { measured }: PaceInput,
  company: unknown,
): number {
  const blocking = measured.some(({ signal, value }) => signal === 'blocked' && value !== null && value > 0)
  if (company || blocking) return Math.max(shortestSeconds, targetSeconds / 2)
  const turn = (turnSeconds * concurrency) / Math.max(1, workers)
  return Math.max(shortestSeconds, Math.min(longestSeconds, turn, targetSeconds * 1.3))
}

/** The worst reading of a signal. Unknown is worse than any number. */
function worstOf(signal: SignalName, measured: readonly Measured[]): Measured | null {
  const all = measured.filter((reading) => reading.signal === signal)
  const unknown = all.find(({ value }) => value === null)
  return (
    unknown ??
    all.reduce<Measured | null>(
      (worst, each) => (Number(worst?.value ?? -1) >= Number(each.value) ? worst : each),
      null,
    )
  )
}

function round(value: number): number {
  return Math.round(value * 100) / 100
}
