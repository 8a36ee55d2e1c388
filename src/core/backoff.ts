/** Waits that grow: `first · 2^attempts`, never above `most`. Seconds. */
export interface Backoff {
  readonly first: number
  readonly most: number
}

/** A row locked by somebody else is tried again soon at first: most transactions are short. */
export const stragglerBackoff: Backoff = { first: 0.1, most: 10 }

/** A window that hit a lock timeout, a deadlock or a lost connection. */
export const retryBackoff: Backoff = { first: 0.25, most: 15 }

/** The wait after so many attempts, in seconds. */
export function backoffSeconds({ first, most }: Backoff, attempts: number): number {
  return Math.min(most, first * 2 ** Math.min(attempts, 32))
}
