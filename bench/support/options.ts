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
  /** Whether commits wait for the disk; on a machine whose disk others use as well, nothing but they may be seen. */
  readonly fsync: 'on' | 'off'
}

const numbers = { rounds: 3, seconds: 20, rows: 1_000_000, rate: 300, connections: 8 }

export function readOptions(argv: readonly string[]): Options {
  const names = Object.keys(numbers) as (keyof typeof numbers)[]
  const { values } = parseArgs({
    args: [...argv],
    options: Object.fromEntries([...names, 'fsync'].map((name) => [name, { type: 'string' as const }])),
  })
  const read = names.map((name) => {
    const value = Number(values[name] ?? numbers[name])
    if (!Number.isInteger(value) || value < 1) throw new Error(`--${name} must be a whole number above zero`)
    return [name, value]
  })
  const { fsync = 'on' } = values
  if (fsync !== 'on' && fsync !== 'off') throw new Error('--fsync must be on or off')
  return { ...Object.fromEntries(read), fsync }
}
