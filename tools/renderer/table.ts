import type { Box } from '../svg/panel.ts'
import { element } from '../svg/svg.ts'
import { colors, theme } from './colors.ts'
import { colorOf, lookOf, mappingOf, numberOf } from './fields.ts'
import type { Look } from './look.ts'
import { drawNothing, drawScrollbar } from './nothing.ts'
import type { TablePanel } from './panels.ts'
import type { RecordedQuery } from './recording.ts'
import type { Moment } from './time.ts'
import { valueText } from './value.ts'
import { clipped, widthOf, write } from './words.ts'

type Cell = string | number | null
type Row = ReadonlyMap<string, Cell>

/** A table as a query gives it: a column for the time, for each label, and for the value. */
interface Frame {
  readonly columns: readonly string[]
  readonly rows: readonly Row[]
}

interface Column {
  readonly name: string
  readonly look: Look
  readonly left: number
  readonly right: number
}

const rowHeight = 30
const padding = 6

export function drawTable(panel: TablePanel, answers: readonly RecordedQuery[], box: Box, { end }: Moment): string[] {
  let frames = framesOf(answers)
  for (const transformation of panel.transformations ?? []) {
    frames =
      transformation.id === 'merge' ? merged(frames) : frames.map((frame) => organized(frame, transformation.options))
  }
  const [frame] = frames
  if (!frame) return drawNothing(panel, box)
  const columns = columnsOf(panel, frame, box)
  const rows = sorted(frame.rows, panel.options.sortBy[0])
  const seen = rows.slice(0, Math.floor((box.bottom - box.top) / rowHeight) - 1)
  const isNumber = (name: string) => rows.some((row) => typeof row.get(name) === 'number')
  return [
    ...columns.map((column) => drawWords(column, column.name, box.top, isNumber(column.name), { bold: true })),
    ...seen.flatMap((row, index) => {
      const y = box.top + (index + 1) * rowHeight
      return [
        element('line', { x1: box.left, y1: y, x2: box.right, y2: y, stroke: theme.border }),
        ...columns.flatMap((column) => drawCell(column, row.get(column.name) ?? null, y, end)),
      ]
    }),
    ...(seen.length < rows.length
      ? [drawScrollbar({ ...box, top: box.top + rowHeight }, seen.length / rows.length)]
      : []),
  ]
}

function framesOf(answers: readonly RecordedQuery[]): Frame[] {
  return answers.flatMap(({ refId, type, result }) => {
    if (type !== 'instant') throw new Error(`query ${refId} of a table was asked over a range of time`)
    if (result.length === 0) return []
    const value = answers.length > 1 ? `Value #${refId}` : 'Value'
    const labels = [...new Set(result.flatMap(({ metric }) => Object.keys(metric)))]
    const rows = result.map(({ metric, value: [time, number] }): Row => {
      const cells = labels.map((label) => [label, metric[label] ?? null] as const)
      return new Map<string, Cell>([['Time', time * 1000], ...cells, [value, numberOf(number)]])
    })
    return [{ columns: ['Time', ...labels, value], rows }]
  })
}

/** Rows become one where they agree in all columns that the frames share. */
function merged(frames: readonly Frame[]): Frame[] {
  if (frames.length === 0) return []
  const columns = [...new Set(frames.flatMap((frame) => frame.columns))]
  const shared = columns.filter((name) => frames.every((frame) => frame.columns.includes(name)))
  const rows: Map<string, Cell>[] = []
  for (const row of frames.flatMap((frame) => frame.rows)) {
    const same = rows.find(
      (other) =>
        shared.every((name) => other.get(name) === row.get(name)) &&
        [...row].every(([name, cell]) => !other.has(name) || other.get(name) === cell),
    )
    if (same) for (const [name, cell] of row) same.set(name, cell)
    else rows.push(new Map(row))
  }
  return [{ columns, rows }]
}

type Organize = Extract<NonNullable<TablePanel['transformations']>[number], { id: 'organize' }>['options']

function organized({ columns, rows }: Frame, { excludeByName, indexByName, renameByName }: Organize): Frame {
  const place = (name: string) => indexByName[name] ?? columns.length + Object.keys(indexByName).length
  const kept = columns.filter((name) => !excludeByName[name]).sort((one, other) => place(one) - place(other))
  const called = (name: string) => renameByName[name] ?? name
  return {
    columns: kept.map(called),
    rows: rows.map((row) => new Map(kept.map((name) => [called(name), row.get(name) ?? null]))),
  }
}

function sorted(rows: readonly Row[], { displayName, desc }: TablePanel['options']['sortBy'][0]): Row[] {
  const order = (one: Cell, other: Cell) =>
    typeof one === 'number' && typeof other === 'number' ? one - other : compare(String(one ?? ''), String(other ?? ''))
  const sign = desc ? -1 : 1
  return rows.toSorted((one, other) => sign * order(one.get(displayName) ?? null, other.get(displayName) ?? null))
}

/** The same on every machine, whatever its language. */
const compare = (one: string, other: string) => (one < other ? -1 : Number(one > other))

/** Those without a width share what the others leave. */
function columnsOf(panel: TablePanel, { columns }: Frame, box: Box): Column[] {
  const looks = columns.map((name) => ({ name, look: lookOf(panel, name, '') }))
  const given = looks.flatMap(({ look }) => look.custom?.width ?? [])
  const rest = box.right - box.left - given.reduce((sum, width) => sum + width, 0)
  const share = rest / (looks.length - given.length)
  let left = box.left
  return looks.map(({ name, look }) => {
    const right = left + (look.custom?.width ?? share)
    const column = { name, look, left, right }
    left = right
    return column
  })
}

function drawCell(column: Column, cell: Cell, y: number, now: number): string[] {
  if (cell === null) return []
  const { look } = column
  const words = typeof cell === 'number' ? valueText(look, cell, now) : (mappingOf(look, cell)?.text ?? cell)
  const kind = look.custom?.cellOptions?.type
  if (kind === 'gauge' && typeof cell === 'number') return drawShare(column, cell, words, y)
  const mapped = kind === 'color-text' ? mappingOf(look, String(cell))?.color : undefined
  const color = mapped ? colors[mapped] : look.links?.length ? theme.link : theme.ink
  return [drawWords(column, words, y, typeof cell === 'number', { color })]
}

function drawWords(
  { left, right }: Column,
  words: string,
  y: number,
  toTheRight: boolean,
  hand: { readonly color?: string; readonly bold?: boolean },
): string {
  const place = toTheRight ? right - padding : left + padding
  return write(clipped(words, right - left - 2 * padding), place, y + rowHeight / 2, {
    ...hand,
    anchor: toTheRight ? 'end' : 'start',
  })
}

/** A bar, with its value at the right. */
function drawShare({ look, left, right }: Column, value: number, words: string, y: number): string[] {
  const color = colorOf(look, value) ?? theme.ink
  const [from, to] = [left + padding, right - 2 * padding - widthOf(words)]
  const bar = { x: from, y: y + 7, height: rowHeight - 14, rx: 2 }
  const part = Math.min(1, Math.max(0, value / (look.max ?? 1)))
  return [
    element('rect', { ...bar, width: to - from, fill: theme.unfilled }),
    element('rect', { ...bar, width: (to - from) * part, fill: color, 'fill-opacity': 0.6 }),
    write(words, right - padding, y + rowHeight / 2, { color, anchor: 'end' }),
  ]
}
