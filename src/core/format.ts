const units = ['B', 'kB', 'MB', 'GB', 'TB'] as const

/** 0 B, 812 kB, 4.1 GB: short enough for a sentence. */
export function formatBytes(bytes: number): string {
  const power = Math.min(units.length - 1, Math.max(0, Math.floor(Math.log10(Math.max(1, Math.abs(bytes))) / 3)))
  const value = bytes / 1000 ** power
  return `${power > 0 && Math.abs(value) < 10 ? Math.round(value * 10) / 10 : Math.round(value)} ${units[power]}`
}

/** 1,200,050 */
export function formatCount(count: number): string {
  return Math.round(count).toLocaleString('en-US')
}

/** 0 %, 0.4 %, 37 %; 100 % only if nothing is missing. */
export function formatShare(share: number): string {
  const percent = share * 100
  if (percent >= 99.5 && percent < 100) return `${Math.floor(percent * 10) / 10} %`
  return `${percent < 1 ? Math.round(percent * 10) / 10 : Math.round(percent)} %`
}

/** 4 ms, 0.31 s, 12 s, 18 min, 5.2 h */
export function formatSeconds(seconds: number): string {
  if (seconds < 0.1) return `${Math.round(seconds * 1000)} ms`
  if (seconds < 10) return `${Number(seconds.toPrecision(2))} s`
  if (seconds < 120) return `${Math.round(seconds)} s`
  return seconds < 7200 ? `${Math.round(seconds / 60)} min` : `${Math.round(seconds / 360) / 10} h`
}

/** "a", "a and b", "a, b and c" */
export function listOf(items: readonly string[]): string {
  return items.length < 2 ? items.join('') : `${items.slice(0, -1).join(', ')} and ${items.at(-1)}`
}
