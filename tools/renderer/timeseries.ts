import type { Box } from '../svg/panel.ts'
import { linear, roomy, type Scale } from '../svg/scale.ts'
import { element } from '../svg/svg.ts'
import { colors, theme } from './colors.ts'
import { type Field, fieldsOf } from './fields.ts'
import { drawNothing, drawScrollbar } from './nothing.ts'
import type { TimeseriesPanel } from './panels.ts'
import { type Place, through } from './path.ts'
import type { RecordedQuery } from './recording.ts'
import { axisHeight, drawMarks, drawTimes, type Moment, marksHeight, placeOf } from './time.ts'
import { tickOf, units } from './units.ts'
import { clipped, widthOf, write } from './words.ts'

interface Step {
  readonly time: number
  readonly low: number
  readonly high: number
}

interface Curve {
  readonly field: Field
  readonly color: string
  /** Without an interruption each. */
  readonly pieces: readonly (readonly Step[])[]
}

const lineHeight = 17
const small = 11

export function drawTimeseries(
  panel: TimeseriesPanel,
  answers: readonly RecordedQuery[],
  box: Box,
  moment: Moment,
): string[] {
  const curves = curvesOf(fieldsOf(panel, answers), moment)
  if (curves.length === 0) return drawNothing(panel, box)
  const legend = legendOf(curves, box)
  const inner = { ...box, top: box.top + marksHeight, bottom: legend.top - axisHeight }
  const y = valueScale(panel, curves, inner)
  const { unit = 'none', decimals } = panel.fieldConfig.defaults
  const ticks = y.ticks.map((tick) => ({ at: y.at(tick), words: tickOf(tick, { unit, decimals }) }))
  const plot = { ...inner, left: box.left + Math.max(...ticks.map(({ words }) => widthOf(words, small))) + 8 }
  const x = placeOf(moment, plot)
  return [
    ...ticks.flatMap(({ at, words }) => [
      element('line', { x1: plot.left, y1: at, x2: plot.right, y2: at, stroke: theme.grid }),
      write(words, plot.left - 6, at, { size: small, color: theme.quiet, anchor: 'end' }),
    ]),
    ...drawTimes(moment, plot),
    ...curves.flatMap((curve) => drawCurve(curve, x, y.at)),
    ...drawThresholds(panel, plot, y),
    ...drawMarks(moment, plot),
    ...legend.parts,
  ]
}

function curvesOf(fields: readonly Field[], { step }: Moment): Curve[] {
  const stack = new Map<number, number>()
  return fields.map((field) => {
    const stacked = field.look.custom?.stacking?.mode === 'normal'
    const pieces: Step[][] = []
    let before = Number.NEGATIVE_INFINITY
    for (const { time, value } of field.points) {
      if (value === null) continue
      const low = stacked ? (stack.get(time) ?? 0) : 0
      const high = low + value
      if (stacked) stack.set(time, high)
      if (time - before > 1.5 * step) pieces.push([])
      pieces.at(-1)?.push({ time, low, high })
      before = time
    }
    return { field, color: field.color(field.points.at(-1)?.value ?? 0), pieces }
  })
}

/** Up to a round number, with some air above the highest value, unless the panel says up to where. */
function valueScale({ fieldConfig: { defaults } }: TimeseriesPanel, curves: readonly Curve[], box: Box): Scale {
  const { unit = 'none', decimals = 9, max } = defaults
  const highest = Math.max(...curves.flatMap(({ pieces }) => pieces.flat().map(({ high }) => high)), 0)
  const most = max ?? highest * 1.05
  const grain = units[unit].grain(most)
  // Ticks closer to each other than the decimals tell would read alike.
  const wanted = Math.max(1, Math.min((box.bottom - box.top) / 40, (most / grain || 1) * 10 ** decimals))
  const scale = (max === undefined ? roomy : linear)(most / grain, [box.bottom, box.top], wanted)
  const within = (y: number) => Math.min(box.bottom, Math.max(box.top, y))
  return { at: (value) => within(scale.at(value / grain)), ticks: scale.ticks.map((tick) => tick * grain) }
}

function drawCurve(
  { field, color, pieces }: Curve,
  x: (time: number) => number,
  y: (value: number) => number,
): string[] {
  const { lineStyle, fillOpacity = 0 } = field.look.custom ?? {}
  const highs = (piece: readonly Step[]) => piece.map(({ time, high }): Place => [x(time), y(high)])
  const lows = (piece: readonly Step[]) => piece.map(({ time, low }): Place => [x(time), y(low)])
  const long = pieces.filter((piece) => piece.length > 1)
  const lone = pieces.flatMap((piece) => (piece.length === 1 ? piece : []))
  const area = long.map((piece) => `${through([...highs(piece), ...lows(piece).toReversed()])}z`).join('')
  const line = long.map((piece) => through(highs(piece))).join('')
  const dashes = lineStyle ? { 'stroke-dasharray': lineStyle.dash.join(' ') } : {}
  return [
    ...(fillOpacity > 0 && area !== ''
      ? [element('path', { d: area, fill: color, 'fill-opacity': fillOpacity / 100 })]
      : []),
    ...(line === '' ? [] : [element('path', { d: line, fill: 'none', stroke: color, 'stroke-width': 1.3, ...dashes })]),
    ...lone.map((step) => element('circle', { cx: x(step.time), cy: y(step.high), r: 2, fill: color })),
  ]
}

/** As in Grafana, one that lies above all values is not in sight. */
function drawThresholds({ fieldConfig: { defaults } }: TimeseriesPanel, plot: Box, y: Scale): string[] {
  if (!defaults.custom.thresholdsStyle) return []
  return (defaults.thresholds?.steps ?? []).flatMap(({ value, color }) => {
    if (value === null || value > (y.ticks.at(-1) ?? 0)) return []
    const at = y.at(value)
    const line = { x1: plot.left, y1: at, x2: plot.right, y2: at, stroke: colors[color], 'stroke-dasharray': '10 10' }
    return [element('line', line)]
  })
}

/** From the bottom of the box upwards, in as many lines as it takes, but not more than a third of it. */
function legendOf(curves: readonly Curve[], box: Box): { readonly top: number; readonly parts: string[] } {
  const [dash, after] = [14, 14]
  const room = box.right - box.left
  const lines: Curve[][] = [[]]
  let used = 0
  for (const curve of curves) {
    const width = dash + Math.min(room - dash, widthOf(curve.field.name, small)) + after
    if (used > 0 && used + width - after > room) {
      lines.push([])
      used = 0
    }
    lines.at(-1)?.push(curve)
    used += width
  }
  const seen = lines.slice(0, Math.max(1, Math.floor((box.bottom - box.top) / 3 / lineHeight)))
  const top = box.bottom - seen.length * lineHeight
  const parts = seen.flatMap((line, index) => {
    const y = top + (index + 0.5) * lineHeight
    let x = box.left
    return line.flatMap(({ field, color }) => {
      const name = clipped(field.name, room - dash, small)
      const entry = [
        element('rect', { x, y: y - 2, width: dash - 4, height: 4, rx: 2, fill: color }),
        write(name, x + dash, y, { size: small }),
      ]
      x += dash + widthOf(name, small) + after
      return entry
    })
  })
  const hidden = seen.length < lines.length ? [drawScrollbar({ ...box, top }, seen.length / lines.length)] : []
  return { top, parts: [...parts, ...hidden] }
}
