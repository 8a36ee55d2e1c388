import type { Box } from '../svg/panel.ts'
import { element } from '../svg/svg.ts'
import { drawBarGauge } from './bargauge.ts'
import { colors, isColor, theme } from './colors.ts'
import type { Dashboard } from './dashboard.ts'
import { drawGauge } from './gauge.ts'
import { drawHeatmap } from './heatmap.ts'
import type { AnyPanel, QueryPanel, RowPanel } from './panels.ts'
import type { RecordedDashboard, RecordedQuery } from './recording.ts'
import { drawStat } from './stat.ts'
import { drawTable } from './table.ts'
import type { Moment } from './time.ts'
import { drawTimeline } from './timeline.ts'
import { drawTimeseries } from './timeseries.ts'
import { clipped, widthOf, write } from './words.ts'

/** Grafana's grid: 24 columns, and rows of 30 pixels with 8 between them. */
const [columns, cell, gap] = [24, 30, 8]
const width = 1440
const margin = 16
const header = 92
const titleHeight = 30
const padding = 10

/** Its name in grafana/provisioning. */
const dataSource = 'Prometheus'

const font = "system-ui, -apple-system, 'Segoe UI', 'Noto Sans', 'DejaVu Sans', sans-serif"

/** A whole dashboard, as somebody saw it who looked at it when the recording ended. */
export function drawDashboard(dashboard: Dashboard, others: readonly Dashboard[], recorded: RecordedDashboard): string {
  const bottom = Math.max(...dashboard.panels.map((panel) => boxOf(panel).bottom))
  const height = bottom + margin
  const moment: Moment = {
    start: recorded.start,
    end: recorded.end,
    step: recorded.step,
    marks: recorded.annotations.flatMap(({ color, events }) =>
      events.map(({ time, title }) => ({ time, title, color: isColor(color) ? colors[color] : color })),
    ),
  }
  const parts = [
    element('title', {}, dashboard.title),
    element('rect', { x: 0, y: 0, width, height, rx: 6, fill: theme.page }),
    ...drawHeader(dashboard, others, recorded),
    ...dashboard.panels.flatMap((panel) =>
      panel.type === 'row' ? drawHeading(panel) : drawPanel(panel, answersOf(dashboard, panel, recorded), moment),
    ),
  ]
  const root = {
    xmlns: 'http://www.w3.org/2000/svg',
    viewBox: `0 0 ${width} ${height}`,
    width,
    height,
    role: 'img',
    'font-family': font,
    'font-size': 12,
    fill: theme.ink,
  }
  return `${element('svg', root, ...parts.map((part) => `\n${part}`), '\n')}\n`
}

function boxOf({ gridPos: { x, y, w, h } }: AnyPanel): Box {
  const column = (width - 2 * margin + gap) / columns
  const [left, top] = [margin + x * column, header + y * (cell + gap)]
  return { left, right: left + w * column - gap, top, bottom: top + h * (cell + gap) - gap }
}

function answersOf(dashboard: Dashboard, panel: QueryPanel, { panels }: RecordedDashboard): readonly RecordedQuery[] {
  const answers = panels[panel.id] ?? []
  const [asked, answered] = [panel.targets, answers].map((queries) => queries.map(({ refId }) => refId).join())
  if (asked === answered) return answers
  throw new Error(
    `${dashboard.title}, panel "${panel.title}": it asks ${asked}, and the recording answers ${answered || 'nothing'}`,
  )
}

function drawHeader(dashboard: Dashboard, others: readonly Dashboard[], recorded: RecordedDashboard): string[] {
  return [
    write(dashboard.title, margin, 26, { size: 20, bold: true }),
    ...drawLinks(dashboard, others, recorded),
    ...drawChosen(dashboard, recorded),
  ]
}

/** To the other dashboards, before the time that is looked at; from right to left. */
function drawLinks({ links }: Dashboard, others: readonly Dashboard[], { start, end }: RecordedDashboard): string[] {
  const linked = others.filter(({ tags }) => links.some((link) => link.tags.every((tag) => tags.includes(tag))))
  const words = [
    ...linked.map(({ title }) => ({ title, color: theme.link })),
    { title: spanOf(start, end), color: theme.ink },
  ]
  let right = width - margin
  return words.toReversed().flatMap(({ title, color }) => {
    const box = { left: right - widthOf(title) - 2 * padding, right }
    right = box.left - gap
    return drawControl(title, box, 12, color)
  })
}

function spanOf(start: number, end: number): string {
  const [from, to] = [start, end].map((time) => new Date(time * 1000).toISOString()) as [string, string]
  const [day, clock] = [to.slice(0, 10), to.slice(11, 19)]
  return `${from.slice(0, 10)} ${from.slice(11, 19)} to ${from.startsWith(day) ? '' : `${day} `}${clock} UTC`
}

/** What the variables are set to, and which annotations are shown. */
function drawChosen({ title, templating, annotations }: Dashboard, { variables }: RecordedDashboard): string[] {
  let left = margin
  const shown = templating.list
    .filter(({ hide }) => hide !== 2)
    .flatMap(({ type, name, label = name }) => {
      const chosen = type === 'datasource' ? dataSource : variables[name]
      if (chosen === undefined) throw new Error(`${title}: the recording does not say what is chosen in ${name}`)
      const from = left + widthOf(label) + gap
      const box = { left: from, right: from + widthOf(chosen) + 2 * padding }
      const parts = [write(label, left, 66, { color: theme.quiet }), ...drawControl(chosen, box, 52, theme.ink)]
      left = box.right + 2 * gap
      return parts
    })
  const events = annotations.list.flatMap(({ name }) => {
    const parts = [
      element('circle', { cx: left + 8, cy: 66, r: 5, fill: colors.blue }),
      write(name, left + 18, 66, { color: theme.quiet }),
    ]
    left += widthOf(name) + 18 + 2 * gap
    return parts
  })
  return [...shown, ...events]
}

function drawControl(
  words: string,
  { left, right }: Pick<Box, 'left' | 'right'>,
  top: number,
  color: string,
): string[] {
  const frame = { x: left + 0.5, y: top + 0.5, width: right - left - 1, height: 27, rx: 2 }
  return [
    element('rect', { ...frame, fill: theme.panel, stroke: theme.control }),
    write(words, left + padding, top + 14, { color }),
  ]
}

function drawHeading(panel: RowPanel): string[] {
  const { left, top, bottom } = boxOf(panel)
  const y = (top + bottom) / 2
  return [
    element('path', { d: `M${left + 2} ${y - 2}l4 4l4 -4`, fill: 'none', stroke: theme.ink, 'stroke-width': 1.5 }),
    write(panel.title, left + 18, y, { size: 15, bold: true }),
  ]
}

function drawPanel(panel: QueryPanel, answers: readonly RecordedQuery[], moment: Moment): string[] {
  const box = boxOf(panel)
  const frame = {
    x: box.left + 0.5,
    y: box.top + 0.5,
    width: box.right - box.left - 1,
    height: box.bottom - box.top - 1,
    rx: 3,
  }
  const inner = {
    left: box.left + padding,
    right: box.right - padding,
    top: box.top + titleHeight,
    bottom: box.bottom - padding,
  }
  return [
    element('rect', { ...frame, fill: theme.panel, stroke: theme.border }),
    write(clipped(panel.title, inner.right - inner.left), inner.left, box.top + 16, { bold: true }),
    ...(panel.description === undefined ? [] : drawSign(box.right - 10, box.top + 16)),
    ...drawContent(panel, answers, inner, moment),
  ]
}

/** The sign at which Grafana shows what a panel says of itself. */
function drawSign(x: number, y: number): string[] {
  const line = { fill: 'none', stroke: theme.quiet }
  return [
    element('circle', { cx: x, cy: y, r: 5, ...line }),
    element('path', { d: `M${x} ${y - 0.5}v3.2M${x} ${y - 3}v1.2`, 'stroke-width': 1.2, ...line }),
  ]
}

function drawContent(panel: QueryPanel, answers: readonly RecordedQuery[], box: Box, moment: Moment): string[] {
  switch (panel.type) {
    case 'stat':
      return drawStat(panel, answers, box, moment)
    case 'gauge':
      return drawGauge(panel, answers, box, moment)
    case 'bargauge':
      return drawBarGauge(panel, answers, box, moment)
    case 'timeseries':
      return drawTimeseries(panel, answers, box, moment)
    case 'state-timeline':
      return drawTimeline(panel, answers, box, moment)
    case 'heatmap':
      return drawHeatmap(panel, answers, box, moment)
    case 'table':
      return drawTable(panel, answers, box, moment)
  }
}
