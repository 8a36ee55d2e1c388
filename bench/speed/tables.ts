import type { SpeedGoal } from './goals.ts'
import { bigUpdate } from './loops.ts'
import type { Figures } from './measure.ts'
import { type Entry, isDisturbed, isDone, mediansOf } from './results.ts'

const head = [
  '',
  'rows/s',
  'of one big UPDATE',
  'rows/s at full pace',
  'WAL a row',
  'longest lock',
  'table',
  'client CPU',
  'check',
  'remarks',
]

/** The cases of one setting, a line each, by the medians of their rounds. */
export function tableOf(entries: readonly Entry[]): string {
  const update = entries.find(({ name }) => name === bigUpdate)
  const most = update && mediansOf(update).rowsPerSecond
  return markdown([head, ...entries.map((entry) => lineOf(entry, most ?? null))])
}

function lineOf(entry: Entry, update: number | null): string[] {
  const m = mediansOf(entry)
  return [
    entry.name,
    show(m.rowsPerSecond, grouped),
    update && m.rowsPerSecond ? times(m.rowsPerSecond / update) : '',
    show(m.steadyRowsPerSecond, grouped),
    show(m.walBytesPerRow, (bytes) => `${grouped(bytes)} B`),
    show(m.longestLock, duration),
    show(m.growth, times),
    show(m.clientSecondsPerMillion, (seconds) => `${seconds.toFixed(1)} s`),
    show(m.checkSeconds, (seconds) => duration(seconds * 1000)),
    remarksOn(entry),
  ]
}

function remarksOn(entry: Entry): string {
  const { rows } = mediansOf(entry)
  return [
    ...(isDone(entry) ? [] : [`${percent((rows ?? 0) / entry.setting.rows)} done in ${entry.atMost} s`]),
    ...(isDisturbed(entry) ? ['disturbed'] : []),
  ].join(', ')
}

export function goalsTableOf(goals: readonly SpeedGoal[]): string {
  const verdict = ({ met }: SpeedGoal) => (met === null ? 'open: disturbed' : met ? 'yes' : 'no')
  return markdown([
    ['', '', 'value', 'met'],
    ...goals.map((goal) => [goal.text, goal.where, goal.value.toFixed(2), verdict(goal)]),
  ])
}

/** One turn, in one line. */
export function turnLine(name: string, tableRows: number, figures: Figures): string {
  const { rowsPerSecond, seconds, rows, done, cpuOthers, longestLock } = figures
  const end = done ? '' : `, time was up at ${percent(rows / tableRows)}`
  return `${name}: ${grouped(rowsPerSecond)} rows/s, ${seconds.toFixed(1)} s, longest lock ${duration(longestLock)}${end}, others ${cpuOthers === null ? '?' : percent(cpuOthers)}`
}

/** Columns of a width, so that it can be read as it stands. */
function markdown(lines: readonly (readonly string[])[]): string {
  const titles = lines[0] as readonly string[]
  const widths = titles.map((_title, column) => Math.max(3, ...lines.map((line) => (line[column] ?? '').length)))
  const row = (cells: readonly string[]) => `| ${cells.map((cell, column) => pad(cell, widths, column)).join(' | ')} |`
  const rule = widths.map((width, column) => (isText(column, titles) ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`))
  return [row(titles), `| ${rule.join(' | ')} |`, ...lines.slice(1).map(row)].join('\n')
  function pad(cell: string, all: readonly number[], column: number): string {
    const width = all[column] ?? 0
    return isText(column, titles) ? cell.padEnd(width) : cell.padStart(width)
  }
}

/** Numbers stand to the right. */
function isText(column: number, titles: readonly string[]): boolean {
  return titles[column] === '' || titles[column] === 'remarks' || titles[column] === 'met'
}

function show(value: number | null, as: (value: number) => string): string {
  return value === null ? '' : as(value)
}

function grouped(value: number): string {
  return value.toLocaleString('en-US', { maximumFractionDigits: 0 })
}

function times(value: number): string {
  return `${value.toFixed(2)} x`
}

function percent(share: number): string {
  return `${Math.round(share * 100)} %`
}

function duration(milliseconds: number): string {
  return milliseconds < 1000 ? `${Math.round(milliseconds)} ms` : `${(milliseconds / 1000).toFixed(1)} s`
}
