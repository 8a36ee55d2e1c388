import type { Box } from '../svg/panel.ts'
import { element } from '../svg/svg.ts'
import { theme } from './colors.ts'
import { widthOf, write } from './words.ts'

/** When somebody looks at a dashboard, and what happened in that time. Unix time in seconds. */
export interface Moment {
  readonly start: number
  /** Their now. */
  readonly end: number
  readonly step: number
  readonly marks: readonly Mark[]
}

export interface Mark {
  readonly time: number
  readonly title: string
  readonly color: string
}

const [minute, hour, day] = [60, 3600, 86_400]
const steps = [
  ...[1, 2, 5, 10, 15, 20, 30],
  ...[1, 2, 5, 10, 15, 20, 30].map((minutes) => minutes * minute),
  ...[1, 2, 3, 6, 12].map((hours) => hours * hour),
]

const small = 11
/** Below the plot, for the times. */
export const axisHeight = 20
/** Above it, for the titles of what happened. */
export const marksHeight = 14

export const placeOf =
  ({ start, end }: Moment, { left, right }: Box) =>
  (time: number) =>
    left + ((time - start) / (end - start)) * (right - left)

const clock = (time: number) => new Date(time * 1000).toISOString().slice(11, 16)
const exactClock = (time: number) => new Date(time * 1000).toISOString().slice(11, 19)

export function drawTimes(moment: Moment, plot: Box): string[] {
  const at = placeOf(moment, plot)
  const wanted = (plot.right - plot.left) / 70
  const step = steps.find((each) => (moment.end - moment.start) / each <= wanted) ?? day
  const first = Math.ceil(moment.start / step)
  const times = Array.from({ length: Math.floor(moment.end / step) - first + 1 }, (_, index) => (first + index) * step)
  return times.flatMap((time) => {
    const words = step < minute ? exactClock(time) : clock(time)
    const half = widthOf(words, small) / 2
    const middle = Math.min(Math.max(at(time), plot.left + half), plot.right - half)
    return [
      upright(at(time), plot, theme.grid),
      write(words, middle, plot.bottom + axisHeight / 2 + 1, { size: small, color: theme.quiet, anchor: 'middle' }),
    ]
  })
}

/** A dashed line and a triangle, as in Grafana, with the title that it shows to who points at it. */
export function drawMarks(moment: Moment, plot: Box): string[] {
  const at = placeOf(moment, plot)
  const lines = moment.marks.flatMap(({ time, color }) => {
    const x = at(time)
    const [foot, low] = [plot.bottom, plot.bottom + 5].map((y) => y.toFixed(1)) as [string, string]
    return [
      upright(x, plot, color, { 'stroke-dasharray': '3 3' }),
      element('path', { d: `M${(x - 4).toFixed(1)} ${low}h8L${x.toFixed(1)} ${foot}z`, fill: color }),
    ]
  })
  return [...lines, ...titles(moment.marks, at, plot)]
}

/** Side by side; where there is no room for one, the one before says how many follow. */
function titles(marks: readonly Mark[], at: (time: number) => number, plot: Box): string[] {
  const written: { title: string; x: number; color: string; more: number }[] = []
  let free = plot.left
  for (const { time, title, color } of marks) {
    const width = widthOf(`${title} +9`, small)
    const x = Math.min(at(time), plot.right - width)
    const last = written.at(-1)
    if (last && x < free) last.more += 1
    else {
      written.push({ title, x, color, more: 0 })
      free = x + width + 6
    }
  }
  return written.map(({ title, x, color, more }) =>
    write(more > 0 ? `${title} +${more}` : title, x, plot.top - marksHeight / 2, { size: small, color }),
  )
}

function upright(x: number, { top, bottom }: Box, stroke: string, more: Record<string, string> = {}): string {
  return element('line', { x1: x, y1: top, x2: x, y2: bottom, stroke, ...more })
}
