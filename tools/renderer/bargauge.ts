import type { Box } from '../svg/panel.ts'
import { element } from '../svg/svg.ts'
import { theme } from './colors.ts'
import { fieldsOf, newestOf } from './fields.ts'
import { drawNothing, drawScrollbar } from './nothing.ts'
import type { BarGaugePanel } from './panels.ts'
import type { RecordedQuery } from './recording.ts'
import type { Moment } from './time.ts'
import { valueText } from './value.ts'
import { clipped, widthOf, write } from './words.ts'

const gap = 8
const most = 40

export function drawBarGauge(
  panel: BarGaugePanel,
  answers: readonly RecordedQuery[],
  box: Box,
  { end }: Moment,
): string[] {
  const all = newestOf(fieldsOf(panel, answers)).map(({ field, value }) => ({
    name: field.name,
    words: valueText(field.look, value, end),
    color: field.color(value),
    value,
  }))
  if (all.length === 0) return drawNothing(panel, box)
  const room = Math.floor((box.bottom - box.top + gap) / (panel.options.minVizHeight + gap))
  const bars = all.slice(0, room)
  const height = Math.min(most, (box.bottom - box.top + gap) / bars.length - gap)

  // One alone is called by the panel's title.
  const naming =
    all.length === 1 ? 0 : Math.min((box.right - box.left) * 0.4, widest(bars.map(({ name }) => name)) + gap)
  const left = box.left + naming
  const right = box.right - gap - widest(bars.map(({ words }) => words)) - gap
  const full = panel.fieldConfig.defaults.max ?? Math.max(...all.map(({ value }) => value))
  return [
    ...bars.flatMap(({ name, words, color, value }, index) => {
      const y = box.top + index * (height + gap)
      const width = (right - left) * Math.min(1, Math.max(0, full === 0 ? 0 : value / full))
      return [
        ...(naming > 0 ? [write(clipped(name, naming - gap), left - gap, y + height / 2, { anchor: 'end' })] : []),
        element('rect', { x: left, y, width: right - left, height, rx: 2, fill: theme.unfilled }),
        element('rect', { x: left, y, width, height, rx: 2, fill: color, 'fill-opacity': 0.45 }),
        ...(width > 0 ? [element('rect', { x: left + width - 2, y, width: 2, height, fill: color })] : []),
        write(words, right + gap, y + height / 2, { color, bold: true }),
      ]
    }),
    ...(bars.length < all.length ? [drawScrollbar(box, bars.length / all.length)] : []),
  ]
}

const widest = (words: readonly string[]) => Math.max(...words.map((each) => widthOf(each)))
