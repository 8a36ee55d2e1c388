import type { RunStatus } from './run.ts'
import { signalNames } from './signal.ts'

/** What makes workers wait between batches: a signal, `maxRowsPerSecond`, or the pace that is still finding out. */
export const brakes = [...signalNames, 'rate', 'start'] as const

/** What holds a run back, as people are told. */
export interface Throttle {
  readonly reason: string
  readonly signal: string
  readonly value: number | null
  readonly limit: number | null
  readonly since: string
}

/** Of a hold, which stops all workers of a run, and of what one of them waits for: that which counts now. */
export function throttleOf(status: RunStatus, hold: Throttle | null, waiting: Throttle | null): Throttle | null {
  if (hold) {
    const { reason, signal, value, limit, since } = hold
    return { reason, signal, value, limit, since }
  }
  return status === 'running' || status === 'verifying' ? waiting : null
}
