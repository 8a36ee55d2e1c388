/** Waits that double with each attempt: `first · 2^attempts`, at most `most`, and partly random. Seconds. */
export interface Backoff {
  readonly first: number
  readonly most: number
}

/** A row that another session holds is tried again soon at first: most transactions are short. */
export const stragglerBackoff: Backoff = { first: 0.1, most: 10 }

/**
 * The wait after a sweep that found most stragglers held, in seconds: a quarter of the age of the youngest one. It
 * grows with that age, so no count of sweeps is kept.
 */
export function sweepWait(ageSeconds: number): number {
  const { first, most } = stragglerBackoff
  return Math.min(most, Math.max(first, ageSeconds / 4))
}

/** For a window that was turned away, within a slice. Short compared with the lease, which nothing renews meanwhile. */
export const windowBackoff: Backoff = { first: 0.02, most: 0.5 }

/**
 * The wait after so many attempts, in seconds. `chance` is a random number from 0 to 1. Each worker waits between half
 * of the backoff and all of it, so that workers turned away together do not come back together.
 */
export function backoffSeconds({ first, most }: Backoff, attempts: number, chance: number): number {
  return Math.min(most, first * 2 ** Math.min(attempts, 32)) * (0.5 + chance / 2)
}
