import type { RunOptions } from '../job/options.ts'
import type { DeadLimit } from '../space/autovacuum.ts'
import { minDeadRows, type SignalName, signalNames, signalSpecs } from './signal.ts'

/** From `soft` on the pace does not grow, from `hard` on nothing is written. Null: it never holds. */
export interface Limit {
  readonly soft: number
  readonly hard: number | null
  /** A hard limit as a number of rows, whatever fraction of the table they are. */
  readonly rows?: number
}

const softPart = 0.4

/** The limits of a signal under a run's options; null if it does not count. */
export function getLimit(signal: SignalName, options: Pick<RunOptions, 'signals' | 'maxLagSeconds'>): Limit | null {
  const said = options.signals[signal]
  if (said === false) return null
  if (signal === 'replica-lag' || signal === 'heartbeat') {
    return { soft: softPart * options.maxLagSeconds, hard: options.maxLagSeconds }
  }
  const { soft, hard } = signalSpecs[signal]
  if (typeof said !== 'number') return { soft, hard }
  if (signal === 'dead-tuples' && said >= minDeadRows) return { soft, hard, rows: said }
  // Keeps the usual distance between the two, if there is one.
  return { soft: hard === null ? said * softPart : (said * soft) / hard, hard: said }
}

/** Whether any signal counts for a run. If none does, no signal affects it. */
export function isPaced(options: Pick<RunOptions, 'signals' | 'maxLagSeconds'>): boolean {
  return signalNames.some((signal) => getLimit(signal, options) !== null)
}

/** The limit of dead rows at which a run with these options is held; null if it has none. */
export function getDeadRowLimit(options: Pick<RunOptions, 'signals' | 'maxLagSeconds'>): DeadLimit | null {
  const limit = getLimit('dead-tuples', options)
  if (limit?.rows !== undefined) return { rows: limit.rows }
  return limit && limit.hard !== null ? { part: limit.hard } : null
}

/** The strictest limits of several runs; null if the signal counts for none of them. */
export function strictestLimit(
  signal: SignalName,
  runs: ReadonlyArray<Pick<RunOptions, 'signals' | 'maxLagSeconds'>>,
): Limit | null {
  const limits = runs.flatMap((options) => getLimit(signal, options) ?? [])
  if (limits.length === 0) return null
  const hards = limits.flatMap(({ hard }) => hard ?? [])
  return {
    soft: Math.min(...limits.map(({ soft }) => soft)),
    hard: hards.length === 0 ? null : Math.min(...hards),
  }
}
