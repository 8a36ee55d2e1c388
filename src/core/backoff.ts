/** Waits that grow: `first · 2^attempts`, never above `most`, and of that a part by chance. Seconds. */
export interface Backoff {
  readonly first: number
  readonly most: number
}

/** A row locked by somebody else is tried again soon at first: most transactions are short. */
export const stragglerBackoff: Backoff = { first: 0.1, most: 10 }

/**
 * The wait after a sweep over stragglers that found most of them held, in seconds: a part of the time for which the last of
 * them has been waiting. It grows with that, and nothing need be kept of it.
 */
export function sweepWait(ageSeconds: number): number {
  const { first, most } = stragglerBackoff
  return Math.min(most, Math.max(first, ageSeconds / 4))
}

/** A window that was turned away, within a slice: short beside the lease, which nothing renews meanwhile. */
export const windowBackoff: Backoff = { first: 0.02, most: 0.5 }

/**
 * The wait after so many attempts, in seconds. `chance` is a random number from 0 to 1: workers that were turned away
 * together must not come back together, so each waits between half of it and all.
 */
export function backoffSeconds({ first, most }: Backoff, attempts: number, chance: number): number {
  return Math.min(most, first * 2 ** Math.min(attempts, 32)) * (0.5 + chance / 2)
}
