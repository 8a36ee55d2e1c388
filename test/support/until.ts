import { until as wait } from '../../tools/until.ts'
import { limits } from './tier.ts'

/** Waits for a condition, for as long as a test may take here. */
export function until<T>(
  what: string,
  ask: () => Promise<T> | T,
  met: (answer: T) => boolean = Boolean,
  seconds = limits.wait,
): Promise<T> {
  return wait(what, ask, met, seconds)
}
