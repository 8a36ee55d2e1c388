import { type Box, drawAxis, drawPanel, type Panel, type Point, shade } from '../../tools/svg/panel.ts'
import { linear, logarithmic, type Range, roomy } from '../../tools/svg/scale.ts'
import { picture } from '../../tools/svg/style.ts'
import { text } from '../../tools/svg/svg.ts'
import type { Recording } from '../episode/recording.ts'
import { course, growth, stretches, values } from './courses.ts'

const width = 960
const [left, right] = [64, 818]
const top = 72
/** Between two panels, for the name of the lower one. */
const between = 40
/** Looks in a second. */
const second = 4
/** A hold of less has no room for its name. Seconds. */
const nameable = 4

const panels: readonly { readonly height: number; readonly of: (recording: Recording, range: Range) => Panel }[] = [
  { height: 110, of: speed },
  { height: 140, of: lag },
  { height: 80, of: load },
  { height: 80, of: batchSize },
  { height: 80, of: probe },
]

/** A lag episode on one time axis: what evenkeel did, and what it did it for. */
export function drawEpisode(recording: Recording): string {
  const { phases, samples } = recording
  const x = linear(phases.at(-1)?.to ?? 0, [left, right], 12)
  const boxes = stack()
  const bottom = boxes.at(-1)?.bottom ?? 0
  const whole: Box = { left, right, top, bottom }
  const holds = stretches(samples, ({ hold }) => hold !== null)
  const over = ({ from, to }: { from: number; to: number }) => (x.at(from) + x.at(to)) / 2
  const middle = { 'text-anchor': 'middle' }
  const title = 'A backfill beside a standby that falls behind'
  return picture(
    title,
    [width, bottom + 36],
    [
      text(title, left, 32, { class: 'title' }),
      ...phases.filter((_, index) => index % 2 === 1).map(({ from, to }) => shade(x, from, to, whole, 'quiet')),
      ...holds.map(({ from, to }) => shade(x, from, to, whole, 'stop')),
      ...phases.map((phase) => text(phase.name, over(phase), top - 8, { ...middle, class: 'name' })),
      ...holds
        .filter(({ from, to }) => to - from > nameable)
        .map((hold) => text('held', over(hold), top + 14, { ...middle, class: 'stop' })),
      ...panels.flatMap(({ of }, index) => {
        const box = boxes[index] as Box
        return drawPanel(of(recording, [box.bottom, box.top]), x, box)
      }),
      ...drawAxis(x, 'seconds', whole),
    ],
  )
}

function stack(): Box[] {
  let bottom = top
  return panels.map(({ height }) => {
    const box = { left, right, top: bottom + between, bottom: bottom + between + height }
    bottom = box.bottom
    return box
  })
}

function speed({ samples, phases, calibration }: Recording, range: Range): Panel {
  const rows = growth(
    samples,
    second,
    (sample) => sample.rows,
    ({ at }) => at,
  )
  const [first, last] = [samples[0], samples.at(-1)]
  const bytes = first && last ? (last.written - first.written) / (last.rows - first.rows) : Number.NaN
  const slow = phases.filter(({ slowed }) => slowed)
  const capacity = calibration.capacity / bytes
  const able = course(samples, ({ at }) => (slow.some(({ from, to }) => from <= at && at < to) ? capacity : null))
  const y = roomy(Math.max(...values(rows)), range, 4)
  return {
    name: 'Speed',
    unit: 'rows a second',
    y,
    series: [
      { points: rows, class: 'first', label: ['evenkeel', y.ticks.at(-1) ?? 0] },
      { points: able, class: 'limit warn', label: ['all it can replay', capacity] },
    ],
  }
}

function lag({ samples, limits }: Recording, range: Range): Panel {
  const outside = course(samples, (sample) => sample.lag)
  const y = roomy(Math.max(...values(outside)), range, 4)
  const most = y.ticks.at(-1) ?? 0
  return {
    name: 'Lag of the standby',
    unit: 'seconds',
    y,
    series: [
      level(samples, limits.soft, 'limit warn', 'it slows down'),
      level(samples, limits.hard, 'limit stop', 'it is held'),
      { points: outside, class: 'first', label: ['measured outside', most] },
      {
        points: course(samples, ({ seenLag }) => seenLag),
        class: 'thin second',
        label: ['as evenkeel sees it', most * 0.88],
      },
    ],
  }
}

function load({ samples }: Recording, range: Range): Panel {
  // Between two slices a worker has no range for a moment.
  const workers = samples.map(({ at }, index) => {
    const late = samples.slice(Math.max(0, index - 2 * second), index + 1)
    return { x: at, y: Math.max(...late.map((sample) => sample.workers)) }
  })
  const most = Math.max(...values(workers))
  return {
    name: 'Load that the pace allows',
    unit: 'batches in flight, on average',
    y: roomy(most, range, 2),
    series: [
      { points: workers, class: 'limit second', label: ['workers', most] },
      { points: course(samples, (sample) => sample.load), class: 'first', label: ['load', most / 2] },
    ],
  }
}

function batchSize({ samples }: Recording, range: Range): Panel {
  const sizes = growth(
    samples,
    second,
    ({ batchedRows }) => batchedRows,
    ({ batches }) => batches,
  )
  const all = values(sizes)
  return {
    name: 'Batch size',
    unit: 'rows, logarithmic',
    y: logarithmic(Math.min(...all), Math.max(...all), range),
    series: [{ points: sizes, class: 'first', label: ['mean of a second', all.at(-1) ?? 1] }],
  }
}

function probe({ samples, limits }: Recording, range: Range): Panel {
  const latency = course(samples, (sample) => sample.probe)
  const all = values(latency)
  return {
    name: 'Probe',
    unit: 'a tiny transaction, times as long as when it is quiet, logarithmic',
    y: logarithmic(1, Math.max(...all), range),
    series: [
      level(samples, limits.probe, 'limit warn', 'slows it in company'),
      { points: latency.map(({ x, y }) => ({ x, y: y && Math.max(1, y) })), class: 'first', label: ['', 1] },
    ],
  }
}

/** The same over all the time. */
function level(samples: Recording['samples'], value: number, kind: string, words: string): Panel['series'][number] {
  const ends = [samples[0], samples.at(-1)].flatMap((sample): Point[] => (sample ? [{ x: sample.at, y: value }] : []))
  return { points: ends, class: kind, label: [words, value] }
}
