/** One look at a run. */
export interface Sample {
  /** Milliseconds. */
  readonly at: number
  readonly rows: number
  /** Whether the pace held it back. */
  readonly held: boolean
}

/** With less, one batch more or less would show. */
const minSeconds = 1

/** Rows a second from when the pace no longer held a run back; null where that was never so, or not for long. */
export function steadyRate(samples: readonly Sample[]): number | null {
  const free = samples.slice(samples.findLastIndex(({ held, rows }) => held || rows === 0) + 1)
  const [first, last] = [free[0], free.at(-1)]
  if (!first || !last || last.at - first.at < minSeconds * 1000) return null
  return ((last.rows - first.rows) * 1000) / (last.at - first.at)
}
