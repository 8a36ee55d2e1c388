const grouped = new Intl.NumberFormat('en-US', { maximumFractionDigits: 0 })

/** 135,233 */
export function count(value: number): string {
  return grouped.format(value)
}

/** 0.4 s, 12 s, 2 min 5 s */
export function seconds(value: number): string {
  if (value < 10 && !Number.isInteger(value)) return `${value.toFixed(1)} s`
  const whole = Math.round(value)
  return whole < 120 ? `${whole} s` : `${Math.floor(whole / 60)} min ${whole % 60} s`
}

/** "no range", "range 2", "ranges 2 and 5", "ranges 1, 2 and 5" */
export function listed(noun: string, values: readonly (string | number)[]): string {
  if (values.length === 0) return `no ${noun}`
  if (values.length === 1) return `${noun} ${values[0]}`
  return `${noun}s ${values.slice(0, -1).join(', ')} and ${values.at(-1)}`
}
