import type { Box } from '../svg/panel.ts'
import { element } from '../svg/svg.ts'
import { blues, theme } from './colors.ts'
import { fieldsOf } from './fields.ts'
import { drawNothing } from './nothing.ts'
import type { HeatmapPanel } from './panels.ts'
import type { RecordedQuery } from './recording.ts'
import { axisHeight, drawMarks, drawTimes, type Moment, marksHeight, placeOf } from './time.ts'
import { tickOf } from './units.ts'
import { widthOf, write } from './words.ts'

interface Bucket {
  readonly bound: string
  /** How many were in this bucket alone, by time. */
  readonly counts: ReadonlyMap<number, number>
}

const small = 11

export function drawHeatmap(
  panel: HeatmapPanel,
  answers: readonly RecordedQuery[],
  box: Box,
  moment: Moment,
): string[] {
  const buckets = bucketsOf(panel, answers)
  if (buckets.length === 0) return drawNothing(panel, box)
  const { yAxis, color: scheme, cellGap, filterValues } = panel.options
  const bounds = buckets.map(({ bound }) => (bound === '+Inf' ? bound : tickOf(Number(bound), { unit: yAxis.unit })))
  const plot = {
    left: box.left + Math.max(...bounds.map((words) => widthOf(words, small))) + 8,
    right: box.right,
    top: box.top + marksHeight,
    bottom: box.bottom - axisHeight,
  }
  const x = placeOf(moment, plot)
  const height = (plot.bottom - plot.top) / buckets.length
  const width = x(moment.start + moment.step) - x(moment.start)
  const most = Math.max(...buckets.flatMap(({ counts }) => [...counts.values()]))
  // One path for each colour: a rectangle for each cell would be ten times as long.
  const cells = new Map<string, string>()
  for (const [index, { counts }] of buckets.entries()) {
    const y = plot.bottom - (index + 1) * height
    for (const [time, count] of counts) {
      if (count <= filterValues.le) continue
      const level = Math.ceil((count / most) ** scheme.exponent * (scheme.steps - 1)) / (scheme.steps - 1)
      // A cell is what came since the look before.
      const [from, to] = [Math.max(plot.left, x(time) - width), Math.min(plot.right, x(time))]
      if (to - from <= cellGap) continue
      const [across, down] = [to - from - cellGap, height - cellGap].map((each) => each.toFixed(1))
      const cell = `M${from.toFixed(1)} ${y.toFixed(1)}h${across}v${down}h-${across}z`
      cells.set(blues(level), (cells.get(blues(level)) ?? '') + cell)
    }
  }
  const every = Math.ceil(15 / height)
  return [
    ...drawTimes(moment, plot),
    ...bounds.flatMap((words, index) => {
      if (index % every !== 0) return []
      return [
        write(words, plot.left - 6, plot.bottom - (index + 1) * height, {
          size: small,
          color: theme.quiet,
          anchor: 'end',
        }),
      ]
    }),
    ...[...cells].map(([fill, d]) => element('path', { d, fill })),
    ...drawMarks(moment, plot),
  ]
}

/** Prometheus' buckets hold all that is below them; here each is without those below it. */
function bucketsOf(panel: HeatmapPanel, answers: readonly RecordedQuery[]): Bucket[] {
  const whole = fieldsOf(panel, answers)
    .map(({ labels, points }) => ({ bound: labels.le ?? '', points }))
    .sort((one, other) => limitOf(one.bound) - limitOf(other.bound))
  return whole.map(({ bound, points }, index) => {
    const below = new Map(whole[index - 1]?.points.map(({ time, value }) => [time, value]))
    return { bound, counts: new Map(points.map(({ time, value }) => [time, (value ?? 0) - (below.get(time) ?? 0)])) }
  })
}

const limitOf = (bound: string) => (bound === '+Inf' ? Number.POSITIVE_INFINITY : Number(bound))
