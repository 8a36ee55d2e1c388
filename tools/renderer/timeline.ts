import type { Box } from '../svg/panel.ts'
import { element } from '../svg/svg.ts'
import { theme } from './colors.ts'
import { type Field, fieldsOf } from './fields.ts'
import { drawNothing } from './nothing.ts'
import type { TimelinePanel } from './panels.ts'
import type { RecordedQuery } from './recording.ts'
import { axisHeight, drawMarks, drawTimes, type Moment, marksHeight, placeOf } from './time.ts'
import { clipped, widthOf, write } from './words.ts'

interface Span {
  readonly from: number
  to: number
  readonly color: string
}

const small = 11

export function drawTimeline(
  panel: TimelinePanel,
  answers: readonly RecordedQuery[],
  box: Box,
  moment: Moment,
): string[] {
  const all = fieldsOf(panel, answers)
  if (all.length === 0) return drawNothing(panel, box)
  const { perPage, rowHeight } = panel.options
  const fields = all.slice(0, perPage)
  const naming = Math.min((box.right - box.left) * 0.4, Math.max(...fields.map(({ name }) => widthOf(name, small))) + 8)
  const pages = all.length > fields.length ? 1 : 0
  const plot = {
    left: box.left + naming,
    right: box.right,
    top: box.top + marksHeight,
    bottom: box.bottom - axisHeight - pages * axisHeight,
  }
  const x = placeOf(moment, plot)
  const band = (plot.bottom - plot.top) / fields.length
  const height = band * rowHeight
  return [
    ...drawTimes(moment, plot),
    ...fields.flatMap((field, index) => {
      const middle = plot.top + (index + 0.5) * band
      return [
        write(clipped(field.name, naming - 8, small), plot.left - 8, middle, {
          size: Math.min(small, band),
          color: theme.quiet,
          anchor: 'end',
        }),
        ...spansOf(field, moment).map(({ from, to, color }) =>
          element('rect', {
            x: x(from),
            y: middle - height / 2,
            width: x(to) - x(from),
            height,
            fill: color,
            'fill-opacity': panel.fieldConfig.defaults.custom.fillOpacity / 100,
          }),
        ),
      ]
    }),
    ...drawMarks(moment, plot),
    ...(pages > 0
      ? [
          write(`1 of ${Math.ceil(all.length / perPage)}`, (box.left + box.right) / 2, box.bottom - 8, {
            anchor: 'middle',
          }),
        ]
      : []),
  ]
}

/** Each value lasts until the next look; equal ones in a row are one span. */
function spansOf(field: Field, { step, end }: Moment): Span[] {
  const spans: Span[] = []
  for (const { time, value } of field.points) {
    if (value === null) continue
    const [last, color, to] = [spans.at(-1), field.color(value), Math.min(end, time + step)]
    if (last && last.color === color && time - last.to < step / 2) last.to = to
    else spans.push({ from: time, to, color })
  }
  return spans
}
