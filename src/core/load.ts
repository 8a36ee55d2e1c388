import { type Limit, strictestLimit } from './limits.ts'
import type { RunOptions } from './options.ts'
import { formatValue, type Measured, type SignalName, signalNames, signalSpecs } from './signal.ts'

/**
 * How much evenkeel may do on one database, all processes and runs together. It is counted in batches in flight, on
 * average: 0.5 is one worker that works half of its time, or two that work a quarter. Rows per second would be the wrong
 * measure for it: a row that is only looked at, one that is updated in place and one with five indexes cost the database a
 * hundred times differently, and a limit found in a sparse stretch would be far too high in the dense one behind it.
 */
export interface Pace {
  /** Batches in flight, on average; never above the number of workers. */
  readonly load: number
  /** How long one batch shall take where the run's options leave it open. Seconds. */
  readonly targetSeconds: number
  /** Why the load is below what the workers could do; null where it is not. */
  readonly cause: PaceCause | null
  /** When the load was last brought down. Seconds, on the database's clock. */
  readonly loweredAt: number
  /** Ranges that workers held at the last few steps: between two slices one may hold none for a moment. */
  readonly crew: readonly number[]
  /** The values of late of each signal that counts, newest last, for telling whether it rises. */
  readonly trail: Readonly<Partial<Record<SignalName, readonly number[]>>>
}

export interface PaceCause {
  readonly reason: string
  readonly signal: SignalName | 'start' | 'others'
  readonly value: number
  readonly limit: number
}

/** What a step is decided on. Steps are about a second apart. */
export interface PaceInput {
  /** Seconds, on the database's clock. */
  readonly now: number
  /** Ranges that workers hold. */
  readonly workers: number
  readonly measured: readonly Measured[]
  /** Sessions of others that did something within the last second; null where unknown. */
  readonly others: number | null
  /** Of the runs that are live. */
  readonly options: ReadonlyArray<Pick<RunOptions, 'signals' | 'maxLagSeconds'>>
}

const startLoad = 0.05
/** So little that even a database in trouble hardly feels it, and enough to learn from. */
const leastLoad = 0.02
/** Of each worker's time, while others are at work: the gaps between batches are theirs. */
const politePart = 0.4
/**
 * The same, below which no pressure brings the load: what others feel may be their own doing, and would then bring us
 * to a standstill for nothing.
 */
const pressedPart = 0.1
const usualGrowth = 1.15
/** As long as nothing has ever been in the way. */
const startGrowth = 1.35
/** The same where nothing is watched that adds up, and so would show too late that it was too much. */
const boldGrowth = 2
const startTargetSeconds = 0.02
const shortestSeconds = 0.001
const longestSeconds = 0.3
const trailLength = 4
const crewLength = 5
/** Of its soft limit, the change that counts as rising or falling. */
const flatPart = 0.03
/** Of the way to the soft limit: with less of it left, what rises is let rise no faster. */
const roomEnough = 0.75
/** How far ahead what rises is looked at. */
const foresightSeconds = 3
/** In which time a lag shall come back to its soft limit. */
const drainSeconds = 10

/** Where a database begins: gently, and found out from there. */
export const startPace: Pace = {
  load: startLoad,
  targetSeconds: startTargetSeconds,
  cause: null,
  loweredAt: 0,
  crew: [],
  trail: {},
}

/** What one signal asks for. */
interface Wish {
  readonly signal: SignalName | null
  /** To multiply the load with; 1 keeps it. */
  readonly factor: number
  readonly cause: PaceCause | null
}

/**
 * One step of the control law. The load follows the signal that asks for least: it grows by 1.15 a second while all are
 * well below their soft limits, stays while one rises towards it or falls from above it, and comes down while one is above
 * it and rising, or a pressure. What it comes down to is, for a replica, what that really replays: with a lag that grew by
 * s seconds a second, it replays 1 - s of what is sent to it. After coming down it waits until the effect can be seen, which for a
 * lag of l seconds takes l seconds: without that it would come down several times for one cause.
 * While no worker holds a range nothing is learned: what is measured then is not our doing.
 */
export function stepPace(pace: Pace, input: PaceInput): Pace {
  const trail: Partial<Record<SignalName, readonly number[]>> = {}
  const wishes: Wish[] = []
  const growth = growthOf(pace, input)
  for (const signal of signalNames) {
    const limit = strictestLimit(signal, input.options)
    const measured = limit && worstOf(signal, input.measured)
    if (!limit || !measured) continue
    if (measured.value === null) {
      wishes.push({ signal, factor: 1, cause: null })
      continue
    }
    const values = [...(pace.trail[signal] ?? []), measured.value].slice(-trailLength)
    trail[signal] = values
    wishes.push(wishOf(measured, measured.value, values, limit, growth))
  }
  const crew = [...pace.crew, input.workers].slice(-crewLength)
  const workers = Math.max(...crew)
  const seen: Pace = { ...pace, crew, trail, targetSeconds: nextTarget(pace.targetSeconds, input) }
  if (input.workers === 0) return seen

  const lowest = wishes.reduce<Wish>((least, wish) => (least.factor <= wish.factor ? least : wish), {
    signal: null,
    factor: growth,
    cause: null,
  })
  const lowering = lowest.factor < 1
  const waiting = lowering && input.now - pace.loweredAt < patience(lowest.signal, trail)
  const most = ceilingOf(workers, input.others)
  const least = lowest.signal !== null && kindOf[lowest.signal] === 'pressure' ? pressedPart * workers : leastLoad
  const wanted = Math.max(Math.min(pace.load, least), pace.load * (waiting ? 1 : lowest.factor))
  const load = Math.min(wanted, most.load)
  return {
    ...seen,
    load,
    loweredAt: lowering && !waiting ? input.now : pace.loweredAt,
    cause:
      load >= workers ? null : (lowest.cause ?? (wanted >= most.load ? most.cause : growingBack(pace, load, workers))),
  }
}

function growthOf({ loweredAt }: Pace, { measured }: PaceInput): number {
  if (loweredAt > 0) return usualGrowth
  return measured.some(({ signal }) => kindOf[signal] === 'lag') ? startGrowth : boldGrowth
}

/** What brought the load down stays the reason why it is not higher yet. */
function growingBack({ cause }: Pace, load: number, workers: number): PaceCause {
  if (cause && cause.signal !== 'others') return cause
  return {
    reason: 'The pace grows step by step while nothing is in its way.',
    signal: 'start',
    value: round(load),
    limit: workers,
  }
}

/** The most that may be, whatever the signals say. */
function ceilingOf(workers: number, others: number | null): { load: number; cause: PaceCause | null } {
  if (!others) return { load: workers, cause: null }
  const load = workers * politePart
  return {
    load,
    cause: {
      reason: `Others are at work (${others} ${others === 1 ? 'session' : 'sessions'} within the last second): workers leave them the larger part of the time.`,
      signal: 'others',
      value: others,
      limit: round(load),
    },
  }
}

function wishOf(
  { signal, detail }: Measured,
  value: number,
  values: readonly number[],
  limit: Limit,
  growth: number,
): Wish {
  const kind = kindOf[signal]
  const slope = kind === 'pressure' || kind === 'notice' ? 0 : slopeOf(values)
  const rising = slope > flatPart * limit.soft
  const ahead = value + slope * foresightSeconds
  if (value < limit.soft && !(rising && ahead >= limit.soft)) {
    // What adds up is met slowly: it goes on rising for a while after the load has stopped to.
    const room = kind === 'pressure' || kind === 'notice' ? 1 : 1 - value / limit.soft
    return { signal, factor: rising && room < roomEnough ? 1 : 1 + (growth - 1) * room, cause: null }
  }
  const { unit } = signalSpecs[signal]
  const cause: PaceCause = {
    reason: `${signal} is ${formatValue(unit, value)} (${detail})${value < limit.soft ? ' and rises' : ''}: from ${formatValue(unit, limit.soft)} on the pace comes down.`,
    signal,
    value,
    limit: limit.hard ?? limit.soft,
  }
  if (limit.hard !== null && value >= limit.hard) return { signal, factor: 0.5, cause }
  switch (kind) {
    case 'lag': {
      const excess = Math.max(0, value - limit.soft) / drainSeconds
      return { signal, factor: Math.min(1, Math.max(0.5, (1 - slope) / (1 + excess))), cause }
    }
    case 'backlog':
      return { signal, factor: rising ? 0.8 : 1, cause }
    case 'pressure':
      return { signal, factor: 0.8, cause }
    case 'notice':
      return { signal, factor: 1, cause }
  }
}

/**
 * How a signal answers to the load. A lag and a backlog add up what is too much, and fall by themselves once there is
 * less than can be taken away; a pressure answers at once; a notice hardly answers, and only says: not more.
 */
const kindOf: Readonly<Record<SignalName, 'lag' | 'backlog' | 'pressure' | 'notice'>> = {
  'replica-lag': 'lag',
  'replica-bytes': 'backlog',
  'replicas-missing': 'notice',
  heartbeat: 'lag',
  slots: 'backlog',
  archive: 'backlog',
  blocked: 'pressure',
  active: 'pressure',
  probe: 'pressure',
  'dead-tuples': 'notice',
  vacuum: 'notice',
  snapshot: 'notice',
}

/** How long after coming down its effect can first be seen in a signal. Seconds. */
function patience(signal: SignalName | null, trail: Pace['trail']): number {
  if (signal === null) return 0
  const kind = kindOf[signal]
  const lag = kind === 'lag' ? (trail[signal]?.at(-1) ?? 0) : 0
  return kind === 'pressure' ? 3 : 2 + lag
}

/** Change a second over the trail. */
function slopeOf(values: readonly number[]): number {
  const first = values[0]
  const last = values.at(-1)
  return values.length < 2 || first === undefined || last === undefined ? 0 : (last - first) / (values.length - 1)
}

/** Short while others are at work, for what they feel is how long one batch runs at a stretch; long while nobody is. */
function nextTarget(targetSeconds: number, { others, measured }: PaceInput): number {
  const blocking = measured.some(({ signal, value }) => signal === 'blocked' && value !== null && value > 0)
  if (others === null && !blocking) return targetSeconds
  return others || blocking
    ? Math.max(shortestSeconds, targetSeconds / 2)
    : Math.min(longestSeconds, targetSeconds * 1.3)
}

/** The worst reading of a signal; an unknown one before any number. */
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
