/** Values as Grafana writes them. */

interface Hand {
  readonly digits: (value: number) => string
  /** Unix time in seconds of whoever looks. */
  readonly now: number
}

interface Unit {
  readonly write: (value: number, hand: Hand) => string
  /** What the ticks of an axis are round numbers of. */
  readonly grain: (most: number) => number
}

/** Three figures, and all those before the point. */
function decimalsOf(value: number): number {
  if (Number.isInteger(value)) return 0
  return Math.min(20, Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value)))))
}

const decimal = () => 1

/** The largest step that is not more than the value. */
function stepOf<Step extends readonly [from: number, name: string]>(steps: readonly Step[], value: number): Step {
  return steps.findLast(([from]) => Math.abs(value) >= from) ?? (steps[0] as Step)
}

function stepped(steps: readonly (readonly [from: number, name: string])[], suffix = ''): Unit {
  return {
    write: (value, { digits }) => {
      const [from, name] = stepOf(steps, value === 0 ? 1 : value)
      return `${digits(value / from)}${name}${suffix}`
    },
    grain: (most) => stepOf(steps, most)[0],
  }
}

const powers = (base: number, names: readonly string[]) => names.map((name, power) => [base ** power, name] as const)
const counted = (what: string) => stepped(powers(1000, ['', 'K', 'M', 'B', 'T']), ` ${what}`)
const binary = (per = '') =>
  stepped(
    powers(
      1024,
      [' B', ' KiB', ' MiB', ' GiB', ' TiB'].map((name) => name + per),
    ),
  )

const durations = [
  [1e-9, ' ns'],
  [1e-6, ' µs'],
  [1e-3, ' ms'],
  [1, ' s'],
  [60, ' mins'],
  [3600, ' hours'],
  [86_400, ' days'],
  [604_800, ' weeks'],
  [31_536_000, ' years'],
] as const

/** As moment.js, which Grafana uses, puts it. */
function ago(seconds: number): string {
  const [minutes, hours, days] = [seconds / 60, seconds / 3600, seconds / 86_400].map(Math.round) as [
    number,
    number,
    number,
  ]
  if (seconds < 45) return 'a few seconds ago'
  if (seconds < 90) return 'a minute ago'
  if (minutes < 45) return `${minutes} minutes ago`
  if (minutes < 90) return 'an hour ago'
  if (hours < 22) return `${hours} hours ago`
  if (hours < 36) return 'a day ago'
  return `${days} days ago`
}

export const units = {
  none: { write: (value, { digits }) => digits(value), grain: decimal },
  short: stepped(powers(1000, ['', ' K', ' Mil', ' Bil', ' Tri'])),
  percentunit: { write: (value, { digits }) => `${digits(value * 100)}%`, grain: decimal },
  s: stepped(durations),
  bytes: binary(),
  binBps: binary('/s'),
  ops: counted('ops/s'),
  reqps: counted('req/s'),
  bool_yes_no: { write: (value) => (value ? 'Yes' : 'No'), grain: decimal },
  /** Of milliseconds. */
  dateTimeFromNow: { write: (value, { now }) => ago(now - value / 1000), grain: decimal },
} satisfies Record<string, Unit>

export type UnitName = keyof typeof units

export interface Measure {
  readonly unit: UnitName
  readonly decimals?: number | undefined
}

export const written = (value: number, { unit, decimals }: Measure, now: number): string =>
  units[unit].write(value, { digits: (part) => part.toFixed(decimals ?? decimalsOf(part)), now })

/** A round number, as the ticks of an axis are, without zeros after its last figure. */
export const tickOf = (value: number, { unit, decimals }: Measure): string =>
  units[unit].write(value, {
    digits: (part) => (decimals === undefined ? String(Number(part.toPrecision(3))) : part.toFixed(decimals)),
    now: 0,
  })
