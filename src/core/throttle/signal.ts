import { formatCount } from '../format.ts'

/** Everything that can be measured on a database under a backfill. */
export const signalNames = [
  'replica-lag',
  'replica-bytes',
  'replicas-missing',
  'heartbeat',
  'slots',
  'archive',
  'blocked',
  'active',
  'foreground',
  'commit-latency',
  'dead-tuples',
  'vacuum',
  'snapshot',
] as const
export type SignalName = (typeof signalNames)[number]

export type SignalUnit =
  | 'seconds'
  | 'bytes'
  | 'segments'
  | 'samples'
  | 'sessions'
  | 'per core'
  | 'times the quiet'
  | 'ratio'
  | 'rows'

export interface SignalSpec {
  readonly unit: SignalUnit
  /** From this value on the pace no longer grows. */
  readonly soft: number
  /**
   * From this value on nothing is written, until it is well below again. Null: it slows runs down and never holds them.
   */
  readonly hard: number | null
  /** Whether a run is held if the signal should be there and cannot be read; otherwise the pace only stops growing. */
  readonly essential: boolean
  /** What a value means, after the name of what it was measured on. */
  readonly meaning: string
}

/** Every signal with its default limits. */
export const signalSpecs: Readonly<Record<SignalName, SignalSpec>> = {
  'replica-lag': {
    unit: 'seconds',
    soft: 2,
    hard: 5,
    essential: true,
    meaning: 'replays what the primary wrote so long ago',
  },
  'replica-bytes': {
    unit: 'bytes',
    soft: 64 * 1024 ** 2,
    hard: 256 * 1024 ** 2,
    essential: true,
    meaning: 'has so much WAL still to replay',
  },
  'replicas-missing': {
    unit: 'seconds',
    soft: 0.001,
    hard: 15,
    essential: true,
    meaning: 'should be streaming and is not, for so long',
  },
  heartbeat: {
    unit: 'seconds',
    soft: 2,
    hard: 5,
    essential: true,
    meaning: 'shows the heartbeat of so long ago',
  },
  slots: {
    unit: 'bytes',
    soft: 256 * 1024 ** 2,
    hard: 1024 ** 3,
    essential: true,
    meaning: 'keeps so much WAL for its consumer',
  },
  archive: {
    unit: 'segments',
    soft: 20,
    hard: 42,
    essential: false,
    meaning: 'has so many WAL segments still to archive',
  },
  blocked: {
    unit: 'samples',
    soft: 1,
    hard: 3,
    essential: false,
    meaning: 'waits for a lock of ours, for so many samples in a row',
  },
  active: {
    unit: 'per core',
    soft: 0.7,
    hard: 1,
    essential: false,
    meaning: 'sessions of others are at work',
  },
  foreground: {
    unit: 'sessions',
    soft: 1,
    hard: null,
    essential: false,
    meaning: 'sessions of others have done something within the last second',
  },
  'commit-latency': {
    unit: 'times the quiet',
    soft: 1.5,
    hard: null,
    essential: false,
    meaning: 'takes so many times as long as when it is quiet',
  },
  'dead-tuples': {
    unit: 'ratio',
    soft: 0.5,
    hard: null,
    essential: false,
    meaning: 'is dead tuples to this part',
  },
  vacuum: { unit: 'samples', soft: 1, hard: null, essential: false, meaning: 'is being vacuumed' },
  snapshot: {
    unit: 'seconds',
    soft: 900,
    hard: null,
    essential: false,
    meaning: 'has been open so long, and keeps vacuum from removing what we replace',
  },
}

/**
 * From this value on a limit of `dead-tuples` is a number of rows: as a fraction of the table it would never be
 * reached.
 */
export const minDeadRows = 1000

/** One sample of one signal. Unknown is a value of its own, and never zero. */
export interface Reading {
  readonly signal: SignalName
  /** In the signal's unit; null if it is unknown. */
  readonly value: number | null
  /** What it was measured on ("standby s1"); if it is unknown, why, and what to do. */
  readonly detail: string
  /** The value as a number of rows, if a limit may be given as one. */
  readonly rows?: number
  /** For the operator of a run that it holds: whether it gets better by itself and, if not, what to do. */
  readonly outlook?: string
}

/** What the sampler knows of a signal now. */
export interface Measured extends Reading {
  /** The worst of the last three samples, this one included; null if any of them was unknown. */
  readonly worst: number | null
  /** When it was read, on the monotonic clock of this process. Milliseconds. */
  readonly at: number
}

const mebibyte = 1024 ** 2

/** A value with its unit, short enough for a sentence. */
export function formatValue(unit: SignalUnit, value: number): string {
  const rounded = Math.round(value * 100) / 100
  switch (unit) {
    case 'seconds':
      return `${Math.round(value * 10) / 10} s`
    case 'bytes':
      return `${Math.round((value / mebibyte) * 10) / 10} MiB`
    case 'ratio':
      return `${Math.round(value * 100)} %`
    case 'rows':
      return `${formatCount(value)} rows`
    default:
      return `${rounded} ${unit}`
  }
}
