/** Nearest rank: a value that was really measured. */
export function percentile(sorted: readonly number[], share: number): number {
  return sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? Number.NaN
}

export function ascending(values: readonly number[]): number[] {
  return [...values].sort((a, b) => a - b)
}

/** The lower one of the middle two, where there are two. */
export function median(values: readonly number[]): number {
  return percentile(ascending(values), 0.5)
}
