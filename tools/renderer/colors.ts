/** Grafana's own colours, as its light theme has them. */
export const colors = {
  green: '#56a64b',
  'semi-dark-green': '#37872d',
  'dark-green': '#19730e',
  yellow: '#f2cc0c',
  'semi-dark-yellow': '#e0b400',
  orange: '#ff780a',
  'semi-dark-orange': '#fa6400',
  red: '#e02f44',
  blue: '#3274d9',
  'light-blue': '#5794f2',
  purple: '#a352cc',
  text: '#24292e',
  transparent: 'none',
} as const

export type Color = keyof typeof colors

export const isColor = (name: string): name is Color => name in colors

export const theme = {
  page: '#f4f5f5',
  panel: '#ffffff',
  border: '#e4e5e8',
  grid: '#ececee',
  ink: colors.text,
  quiet: '#656a72',
  /** What a bar or a gauge could still be filled with. */
  unfilled: '#eeeff1',
  link: '#1f62e0',
  control: '#c7cad1',
}

/** What Grafana gives to one series after the other. */
const palette: readonly string[] = [
  colors.green,
  colors['semi-dark-yellow'],
  colors['light-blue'],
  colors['semi-dark-orange'],
  colors.red,
  colors.blue,
  colors.purple,
  '#705da0',
  colors['dark-green'],
  '#cca300',
  '#447ebc',
  '#c15c17',
  '#890f02',
  '#0a437c',
  '#6d1f62',
  '#584477',
]

export const paletteColor = (index: number) => palette[index % palette.length] as string

/** What can be read on a ground. */
export function inkOn(ground: string): string {
  const [red = 0, green = 0, blue = 0] = [1, 3, 5].map((from) => Number.parseInt(ground.slice(from, from + 2), 16))
  return (red * 299 + green * 587 + blue * 114) / 1000 > 180 ? theme.ink : '#ffffff'
}

/** Grafana's scheme Blues, of parts from 0 to 1. */
export function blues(part: number): string {
  const place = part * (bluesFrom.length - 1)
  const [low, share] = [Math.min(Math.floor(place), bluesFrom.length - 2), place % 1 || Number(part === 1)]
  const mixed = (bluesFrom[low] ?? []).map(
    (from, index) => from + ((bluesFrom[low + 1]?.[index] ?? from) - from) * share,
  )
  return `#${mixed.map((one) => Math.round(one).toString(16).padStart(2, '0')).join('')}`
}

const bluesFrom: readonly (readonly number[])[] = [
  [247, 251, 255],
  [198, 219, 239],
  [107, 174, 214],
  [33, 113, 181],
  [8, 48, 107],
]
