import { parseArgs } from 'node:util'

export interface Options {
  /** How often every case has its turn; the table shows medians. */
  readonly rounds: number
  /** How long a backfill is watched, at most. */
  readonly seconds: number
  /** Rows of the table that is backfilled. */
  readonly rows: number
  /** Foreground transactions a second. */
  readonly rate: number
  /** Foreground connections. */
  readonly connections: number
}

const defaults: Options = { rounds: 3, seconds: 20, rows: 1_000_000, rate: 300, connections: 8 }

export function readOptions(argv: readonly string[]): Options {
  const names = Object.keys(defaults) as (keyof Options)[]
  const { values } = parseArgs({
    args: [...argv],
    options: Object.fromEntries(names.map((name) => [name, { type: 'string' as const }])),
  })
  const read = names.map((name) => {
    const value = Number(values[name] ?? defaults[name])
    if (!Number.isInteger(value) || value < 1) throw new Error(`--${name} must be a whole number above zero`)
    return [name, value]
  })
  return Object.fromEntries(read)
}
