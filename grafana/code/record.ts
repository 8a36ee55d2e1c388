import { writeFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { Prometheus, scrapeSeconds } from '../../tools/processes/prometheus.ts'
import type {
  RecordedAnnotation,
  RecordedDashboard,
  RecordedEvent,
  RecordedQuery,
  Recording,
} from '../../tools/renderer/recording.ts'
import { Environment, type Keep } from './environment.ts'
import {
  annotationsOf,
  byLabels,
  choose,
  type DashboardFile,
  queriesOf,
  type Range,
  readDashboards,
  stepOf,
} from './queries.ts'
import { readRulesFile } from './rules.ts'
import { type Moments, runScenario } from './scenario.ts'

/** Runs a scenario on real servers for some minutes, and writes down what each dashboard would have shown of it. */

const rows = 280_000
const rates = { first: 1500, raised: 4000 }
const turnSeconds = 12

/** The overview is for when something is the matter. */
const lookedAt = ({ uid }: DashboardFile, { held, late }: Moments) => (uid === 'evenkeel-overview' ? held : late)

async function record(prometheus: Prometheus, dashboard: DashboardFile, range: Range): Promise<RecordedDashboard> {
  const { start, end } = range
  const span = { start, end, step: stepOf(range) }
  const { values, shown } = await choose(dashboard, { job_name: 'orders-each' }, (label, selector) =>
    prometheus.labelValues(label, selector, span),
  )
  const panels: Record<string, RecordedQuery[]> = {}
  for (const { panel, refId, expr, legendFormat = null, format = 'time_series', instant } of queriesOf(
    dashboard,
    values,
    range,
  )) {
    const asked = { refId, expr, legendFormat, format }
    const query: RecordedQuery = instant
      ? { ...asked, type: 'instant', result: await prometheus.query(expr, end) }
      : { ...asked, type: 'range', result: await prometheus.queryRange(expr, span) }
    panels[panel.id] = [...(panels[panel.id] ?? []), query]
  }
  const annotations: RecordedAnnotation[] = []
  for (const { name, iconColor, target, titleFormat, textFormat } of annotationsOf(dashboard, values, range)) {
    const events = new Map<string, RecordedEvent>()
    for (const { metric, values } of await prometheus.queryRange(target.expr, span)) {
      for (const [, value] of values) {
        const time = Number(value) / 1000
        const event = { time, title: byLabels(titleFormat, metric), text: byLabels(textFormat, metric) }
        // One value stands there at every step until it happens again.
        if (time >= start && time <= end) events.set(JSON.stringify(event), event)
      }
    }
    annotations.push({ name, color: iconColor, events: [...events.values()].sort((a, b) => a.time - b.time) })
  }
  return { ...span, variables: shown, panels, annotations }
}

async function main(file: string): Promise<void> {
  const stops: Parameters<Keep>[0][] = []
  const keep: Keep = (stop) => stops.push(stop)
  try {
    const environment = await Environment.create(rows, keep)
    const prometheus = await Prometheus.start({ targets: environment.urls, rules: readRulesFile() })
    keep(() => prometheus.stop())
    const moments = await runScenario(environment, rates, () => sleep(turnSeconds * 1000))
    const dashboards: Record<string, RecordedDashboard> = {}
    for (const dashboard of readDashboards()) {
      const end = Math.floor(lookedAt(dashboard, moments))
      const range = { start: Math.floor(moments.began) - 5, end, scrapeSeconds }
      dashboards[dashboard.uid] = await record(prometheus, dashboard, range)
    }
    await writeFile(file, `${JSON.stringify({ dashboards } satisfies Recording)}\n`)
  } finally {
    for (const stop of stops.reverse()) await stop()
  }
}

const [file] = process.argv.slice(2)
if (file === undefined) throw new Error('Usage: node --import tsx grafana/code/record.ts FILE')
await main(file)
