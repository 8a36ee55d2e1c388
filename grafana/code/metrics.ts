/** The table of docs/metrics.md: the contract between what the service tells and what dashboards and alerts read. */

export interface Metric {
  readonly name: string
  readonly type: 'counter' | 'gauge' | 'histogram'
  readonly labels: readonly string[]
  readonly whose: 'shared' | 'own'
}

const isRow = (line: string) => line.startsWith('| `backfill_')
const cellsOf = (line: string) => line.split('|').slice(1, -1)
const named = (cell: string) => [...cell.matchAll(/`([^`]+)`/g)].map(([, name]) => name as string)

const types: readonly string[] = ['counter', 'gauge', 'histogram'] satisfies Metric['type'][]
const owners: readonly string[] = ['shared', 'own'] satisfies Metric['whose'][]

export function metricsIn(page: string): Metric[] {
  return page
    .split('\n')
    .filter(isRow)
    .map((line) => {
      const cells = cellsOf(line)
      const [name, type, labels, whose] = cells.map((cell) => cell.trim())
      if (cells.length !== 7 || !types.includes(type ?? '') || !owners.includes(whose ?? '')) {
        throw new Error(`docs/metrics.md: not a row of the table: ${line}`)
      }
      return { name: named(name ?? '')[0] ?? '', type, labels: named(labels ?? ''), whose } as Metric
    })
}

/** The same page, with what uses each metric in the last two columns of its table. */
export function withUsers(
  page: string,
  panels: (metric: Metric) => string,
  alerts: (metric: Metric) => string,
): string {
  const metrics = new Map(metricsIn(page).map((metric) => [metric.name, metric]))
  const lines = page.split('\n')
  const first = lines.findIndex(isRow) - 2
  const table = [lines[first] ?? '', ...lines.filter(isRow)].map((line) => {
    const cells = cellsOf(line).map((cell) => cell.trim())
    const metric = metrics.get(named(cells[0] ?? '')[0] ?? '')
    return metric ? [...cells.slice(0, 5), panels(metric), alerts(metric)] : cells
  })
  const widths = (table[0] ?? []).map((_, column) => Math.max(...table.map((cells) => cells[column]?.length ?? 0)))
  const written = [...table.slice(0, 1), widths.map((width) => '-'.repeat(width)), ...table.slice(1)].map(
    (cells) => `| ${cells.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(' | ')} |`,
  )
  return lines.toSpliced(first, written.length, ...written).join('\n')
}

/** The names under which a metric is read: a histogram has none of its own. */
export const seriesOf = ({ name, type }: Metric): string[] =>
  type === 'histogram' ? [`${name}_bucket`, `${name}_count`, `${name}_sum`] : [name]
