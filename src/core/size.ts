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

/** 0 %, 0.4 %, 37 %; 100 % only where nothing is missing. */
export function formatShare(share: number): string {
  const percent = share * 100
  if (percent >= 99.5 && percent < 100) return `${Math.floor(percent * 10) / 10} %`
  return `${percent < 1 ? Math.round(percent * 10) / 10 : Math.round(percent)} %`
}

/** "a", "a and b", "a, b and c" */
export function listOf(items: readonly string[]): string {
  return items.length < 2 ? items.join('') : `${items.slice(0, -1).join(', ')} and ${items.at(-1)}`
}
