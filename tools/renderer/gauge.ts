import type { Box } from '../svg/panel.ts'
import { element } from '../svg/svg.ts'
import { theme } from './colors.ts'
import { fieldsOf, newestOf } from './fields.ts'
import { noValueOf } from './nothing.ts'
import type { GaugePanel } from './panels.ts'
import type { RecordedQuery } from './recording.ts'
import type { Moment } from './time.ts'
import { valueText } from './value.ts'
import { writeLarge } from './words.ts'

interface Dial {
  readonly words: string
  readonly name: string
  readonly color: string
  /** From 0 to 1. */
  readonly part: number
}

export function drawGauge(panel: GaugePanel, answers: readonly RecordedQuery[], box: Box, { end }: Moment): string[] {
  const most = panel.fieldConfig.defaults.max ?? 100
  const dials: Dial[] = newestOf(fieldsOf(panel, answers)).map(({ field, value }) => ({
    words: valueText(field.look, value, end),
    name: field.name,
    color: field.color(value),
    part: Math.min(1, Math.max(0, value / most)),
  }))
  if (dials.length === 0) dials.push({ words: noValueOf(panel), name: '', color: theme.ink, part: 0 })
  const width = (box.right - box.left) / dials.length
  return dials.flatMap((dial, index) => {
    const left = box.left + index * width
    return drawDial(dials.length > 1 ? dial : { ...dial, name: '' }, { ...box, left, right: left + width })
  })
}

/** Half a circle, as high as the box. */
function drawDial({ words, name, color, part }: Dial, { left, right, top, bottom }: Box): string[] {
  const below = name === '' ? 4 : 18
  const radius = Math.min((right - left) / 2 - 8, bottom - top - below)
  const [x, y] = [(left + right) / 2, bottom - below]
  const inner = radius * 0.72
  return [
    element('path', { d: arc(x, y, radius, inner, 1), fill: theme.unfilled }),
    ...(part > 0 ? [element('path', { d: arc(x, y, radius, inner, part), fill: color })] : []),
    writeLarge(words, x, y - radius * 0.17, inner * 1.5, radius * 0.36, { color, anchor: 'middle', bold: true }),
    ...(name === '' ? [] : [writeLarge(name, x, bottom - 7, right - left, 12, { anchor: 'middle' })]),
  ]
}

/** A band from the left over a part of half a circle. */
function arc(x: number, y: number, radius: number, inner: number, part: number): string {
  const angle = Math.PI * (1 - part)
  const on = (distance: number) =>
    `${(x + distance * Math.cos(angle)).toFixed(1)} ${(y - distance * Math.sin(angle)).toFixed(1)}`
  const [outerRadius, innerRadius, from, to] = [radius, inner, x - radius, x - inner].map((each) => each.toFixed(1))
  const start = y.toFixed(1)
  return `M${from} ${start}A${outerRadius} ${outerRadius} 0 0 1 ${on(radius)}L${on(inner)}A${innerRadius} ${innerRadius} 0 0 0 ${to} ${start}z`
}
