import { alone, unpaced } from '../cases.ts'
import { isQuiet } from './cpu.ts'
import type { Figures } from './measure.ts'
import { type Goal, medianOf, type Result } from './results.ts'

const grouped = new Intl.NumberFormat('en-US', { maximumFractionDigits: 0 })

/** The table: a case per line, times in milliseconds. */
export function tableOf(results: readonly Result[]): string {
  const { p99 } = medianOf(results, alone)
  const { rowsPerSecond } = medianOf(results, unpaced)
  const head = ['', 'rows/s', 'of unpaced', 'p50', 'p95', 'p99', 'max', 'p99 / alone', 'lock wait', 'cpu', 'foreground']
  const lines = results.map(({ name, median: m }) => [
    name,
    ...(name === alone ? ['', ''] : [speed(m), percent(m.rowsPerSecond / rowsPerSecond)]),
    ...[m.p50, m.p95, m.p99, m.max].map(milliseconds),
    `${(m.p99 / p99).toFixed(2)} x`,
    name === alone ? '' : milliseconds(m.longestLockWait),
    percent(m.cpu),
    percent(m.cpuOthers),
  ])
  const all = [head, ...lines]
  const widths = head.map((_title, column) => Math.max(...all.map((line) => (line[column] ?? '').length)))
  return all
    .map((line) =>
      line
        .map((cell, column) => pad(cell, widths[column] ?? 0, column))
        .join('   ')
        .trimEnd(),
    )
    .join('\n')
}

/** One case, one round, in one line. */
export function lineOf(name: string, figures: Figures): string {
  const backfill = name === alone ? '' : `, ${speed(figures)} rows/s for ${figures.seconds.toFixed(1)} s`
  const errors = figures.errors > 0 ? `, ${figures.errors} transactions failed` : ''
  const others = isQuiet(figures.cpuOthers) ? '' : `, others took ${percent(figures.cpuOthers)} of the machine`
  const { p50, p99 } = figures
  return `${name}: p50 ${milliseconds(p50)}, p99 ${milliseconds(p99)} ms${backfill}${errors}${others}`
}

export function goalLine({ text, value, met }: Goal): string {
  const verdict = met === null ? 'open' : met ? 'yes' : 'no'
  const why = met === null ? ' (others had too much of the machine)' : ''
  return `${verdict.padStart(4)}   ${text}: ${value < 10 ? value.toFixed(2) : grouped.format(value)}${why}`
}

/** Nothing of a statement that was cut short is there. */
function speed({ rows, rowsPerSecond }: Figures): string {
  return rows === 0 ? 'none committed' : grouped.format(rowsPerSecond)
}

function milliseconds(value: number): string {
  return value < 10 ? value.toFixed(1) : grouped.format(value)
}

function percent(share: number): string {
  return Number.isNaN(share) ? '?' : `${Math.round(share * 100)} %`
}

function pad(cell: string, width: number, column: number): string {
  return column === 0 ? cell.padEnd(width) : cell.padStart(width)
}
