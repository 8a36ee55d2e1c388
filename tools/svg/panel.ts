import type { Scale } from './scale.ts'
import { element, line, text } from './svg.ts'

export interface Box {
  readonly left: number
  readonly right: number
  readonly top: number
  readonly bottom: number
}

export interface Point {
  readonly x: number
  /** Null where there is nothing to show. */
  readonly y: number | null
}

export interface Series {
  readonly points: readonly Point[]
  /** Names of style.ts. */
  readonly class: string
  /** Written at the right, at a value. */
  readonly label: readonly [words: string, at: number]
}

/** What shares a pair of axes; the x axis is that of all panels. */
export interface Panel {
  readonly name: string
  readonly unit: string
  readonly y: Scale
  readonly series: readonly Series[]
}

const gap = 8

export function drawPanel({ name, unit, y, series }: Panel, x: Scale, { left, right, top }: Box): string[] {
  const heading = [element('tspan', { class: 'name' }, name), element('tspan', { dx: gap }, unit)]
  return [
    ...y.ticks.map((tick) => line([left, y.at(tick)], [right, y.at(tick)])),
    ...y.ticks.map((tick) => text(grouped(tick), left - gap, y.at(tick) + 4, { 'text-anchor': 'end' })),
    element('text', { x: left, y: top - gap }, ...heading),
    ...series.map(({ points, class: kind }) =>
      path(
        points.map((point) => (point.y === null ? null : [x.at(point.x), y.at(point.y)])),
        kind,
      ),
    ),
    ...series.map(({ label: [words, at], class: kind }) => text(words, right + gap, y.at(at) + 4, { class: kind })),
  ]
}

export function drawAxis(x: Scale, unit: string, { left, right, bottom }: Box): string[] {
  return [
    line([left, bottom], [right, bottom]),
    ...x.ticks.map((tick) => line([x.at(tick), bottom], [x.at(tick), bottom + 5])),
    ...x.ticks.map((tick) => text(grouped(tick), x.at(tick), bottom + 19, { 'text-anchor': 'middle' })),
    text(unit, right + 4 * gap, bottom + 19),
  ]
}

/** A stretch of the x axis, over the whole height. */
export function shade(x: Scale, from: number, to: number, { top, bottom }: Box, kind: string): string {
  const [start, width] = [x.at(from), x.at(to) - x.at(from)]
  return element('rect', { x: start, y: top, width, height: bottom - top, class: `shade ${kind}` })
}

/** A line through points; where one is missing, a gap. */
function path(points: readonly ([x: number, y: number] | null)[], kind: string): string {
  const steps = points.flatMap((point, index) => {
    if (!point) return []
    return `${points[index - 1] ? 'L' : 'M'}${point[0].toFixed(1)} ${point[1].toFixed(1)}`
  })
  return element('path', { d: steps.join(''), class: kind })
}

function grouped(value: number): string {
  return Number(value.toPrecision(6)).toLocaleString('en-US')
}
