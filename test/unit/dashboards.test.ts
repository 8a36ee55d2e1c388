import { readFileSync } from 'node:fs'
import type { Panel, RowPanel } from '@grafana/grafana-foundation-sdk/dashboard'
import { describe, expect, test } from 'vitest'
import { type Metric, metricsIn, seriesOf } from '../../grafana/code/metrics.ts'
import { type Use, usesOf } from '../../grafana/code/promql.ts'
import { readRules } from '../../grafana/code/rules.ts'
import {
  asJson,
  dashboards,
  fileOf,
  metricsPage,
  panelsOf,
  queriesOf,
  shortTitle,
} from '../../grafana/code/table-of-contents.ts'

const read = (path: string) => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8')
const page = read('docs/metrics.md')
const metrics = metricsIn(page)
const rules = readRules()
type PromTarget = { expr: string; legendFormat?: string }
const rebuild = 'run: node --import tsx grafana/code/build.ts'

const metricOf = new Map(metrics.flatMap((metric) => seriesOf(metric).map((series) => [series, metric] as const)))
const isForeign = (series: string) => /^(up|ALERTS|ALERTS_FOR_STATE|process_\w+|nodejs_\w+)$/.test(series)
/** The two that docs/metrics.md says are of a process and of no database. */
const isOfProcess = ({ name }: Metric) => name.startsWith('backfill_http_') || name === 'backfill_build_info'

function labelsOf(series: string, metric: Metric): string[] {
  const labels = ['job', 'instance', ...metric.labels]
  if (!isOfProcess(metric)) labels.push('database')
  if (series.endsWith('_bucket') && metric.type === 'histogram') labels.push('le')
  return labels
}

function wrongIn({ metric: series, labels }: Use): string[] {
  if (isForeign(series)) return []
  const metric = metricOf.get(series)
  if (!metric) return [`no metric ${series}`]
  const known = labelsOf(series, metric)
  return [...labels].filter((label) => !known.includes(label)).map((label) => `no label ${label} of ${series}`)
}

const all = dashboards.flatMap((dashboard) =>
  panelsOf(dashboard).map((panel) => ({ dashboard, panel, name: `${shortTitle(dashboard)}: ${panel.title}` })),
)
const variablesOf = ({ templating }: (typeof dashboards)[number]) => (templating.list ?? []).map(({ name }) => name)

/** Queries that are no panel's: what fills the variables, and the annotations. */
const asides = dashboards.flatMap((dashboard) => [
  ...(dashboard.templating.list ?? []).flatMap(({ name, definition }) => {
    const [, selector, label] = definition?.match(/^label_values\((.+), (\w+)\)$/) ?? []
    if (selector === undefined || label === undefined) return []
    return { name: `${shortTitle(dashboard)}: variable ${name}`, query: `max by (${label}) (${selector})` }
  }),
  ...(dashboard.annotations.list ?? []).map(({ name, target }) => ({
    name: `${shortTitle(dashboard)}: annotation ${name}`,
    query: (target as unknown as PromTarget).expr,
  })),
])

describe('the contract of metric names and labels', () => {
  const queries = [
    ...all.flatMap(({ name, panel }) => queriesOf(panel).map((query) => ({ name, query }))),
    ...asides,
    ...rules.map(({ alert, expr }) => ({ name: `alert ${alert}`, query: expr })),
  ]

  test('is kept by every query of panels, variables, annotations and alerts', () => {
    const wrong = queries.flatMap(({ name, query }) =>
      usesOf(query).flatMap((use) => wrongIn(use).map((what) => `${name}: ${what}`)),
    )
    expect(wrong).toEqual([])
  })

  test('leaves no metric unused', () => {
    const used = new Set(queries.flatMap(({ query }) => usesOf(query).map(({ metric }) => metric)))
    expect(metrics.filter((metric) => !seriesOf(metric).some((series) => used.has(series)))).toEqual([])
  })

  test('says whose a metric is: what all processes say alike is not added up, what each counts is', () => {
    const wrong = queries.flatMap(({ name, query }) =>
      usesOf(query).flatMap(({ metric: series, aggregation }) => {
        const metric = metricOf.get(series)
        if (metric?.whose === 'shared' && aggregation !== 'max') return [`${name}: ${aggregation} of ${series}`]
        if (metric?.whose === 'own' && metric.type !== 'gauge' && aggregation !== 'sum') {
          return [`${name}: ${aggregation} of ${series}`]
        }
        return []
      }),
    )
    expect(wrong).toEqual([])
  })

  test('is read from panels in the installations and databases that are chosen', () => {
    const wrong = [...all.flatMap(({ name, panel }) => queriesOf(panel).map((query) => ({ name, query })))].flatMap(
      ({ name, query }) =>
        usesOf(query).flatMap(({ metric: series, labels }) => {
          const metric = metricOf.get(series)
          const needed = metric && !isOfProcess(metric) ? ['job', 'database'] : ['job']
          return needed.filter((label) => !labels.has(label)).map((label) => `${name}: ${series} of any ${label}`)
        }),
    )
    expect(wrong).toEqual([])
  })
})

describe('what is committed', () => {
  test.each(dashboards.map((dashboard) => [fileOf(dashboard), dashboard] as const))(
    '%s is built from its code',
    (file, dashboard) => {
      expect(read(`grafana/dashboards/${file}`) === asJson(dashboard), rebuild).toBe(true)
    },
  )

  test('the table of metrics says which panels and alerts use them', () => {
    expect(page === metricsPage(page, rules), rebuild).toBe(true)
  })
})

describe('each dashboard', () => {
  test.each(dashboards.map((dashboard) => [shortTitle(dashboard), dashboard] as const))(
    '%s has its panels side by side, and none twice',
    (_, dashboard) => {
      const panels = dashboard.panels ?? []
      const ids = panels.map(({ id }) => id)
      expect(new Set(ids).size).toBe(ids.length)
      const titles = panelsOf(dashboard).map(({ title }) => title)
      expect(titles).toEqual([...new Set(titles)])

      const taken = new Map<string, string>()
      for (const panel of panels as (Panel | RowPanel)[]) {
        const { x, y, w, h } = panel.gridPos ?? { x: -1, y: 0, w: 0, h: 0 }
        const title = panel.title ?? ''
        expect(x, title).toBeGreaterThanOrEqual(0)
        expect(x + w, title).toBeLessThanOrEqual(24)
        for (let column = x; column < x + w; column++) {
          for (let row = y; row < y + h; row++) {
            expect(taken.get(`${column},${row}`), `lies over ${title}`).toBeUndefined()
            taken.set(`${column},${row}`, title)
          }
        }
      }
    },
  )

  test.each(dashboards.map((dashboard) => [shortTitle(dashboard), dashboard] as const))(
    '%s uses only variables that it has',
    (_, dashboard) => {
      const json = asJson(dashboard)
      const used = [...json.matchAll(/\$\{?(\w+)/g)].map(([, name]) => name as string)
      const unknown = used.filter((name) => !name.startsWith('__') && !variablesOf(dashboard).includes(name))
      expect(unknown).toEqual([])
      expect(variablesOf(dashboard)).toEqual(expect.arrayContaining(['datasource', 'service', 'database', 'runbooks']))
    },
  )

  test.each(dashboards.map((dashboard) => [shortTitle(dashboard), dashboard] as const))(
    '%s marks the events of runs',
    (_, dashboard) => {
      const marks = (dashboard.annotations.list ?? []).filter(({ enable, target }) => {
        const { expr } = target as unknown as PromTarget
        return enable && usesOf(expr).some(({ metric }) => metric === 'backfill_run_event_timestamp_seconds')
      })
      expect(marks.map(({ name }) => name)).toHaveLength(1)
    },
  )
})

describe('each panel', () => {
  test.each(all.map(({ name, panel }) => [name, panel] as const))(
    '%s says what it shows, in which unit',
    (_, panel) => {
      expect(panel.title).toMatch(/^[A-Z][^,;:]+$/)
      expect(panel.description).toMatch(/^[`A-Z0-9].{30,}[.?]$/s)
      expect(panel.fieldConfig?.defaults.unit).toBeTruthy()
      expect(panel.fieldConfig?.defaults.noValue).toBeTruthy()
    },
  )

  test.each(all.map(({ name, panel }) => [name, panel] as const))(
    '%s names its series by labels that its queries keep',
    (_, panel) => {
      for (const target of (panel.targets ?? []) as unknown as PromTarget[]) {
        const kept = new Set(
          usesOf(target.expr).flatMap(({ metric, labels, aggregation }) => [
            ...labels,
            ...(aggregation === null && isForeign(metric) ? ['instance'] : []),
          ]),
        )
        for (const [, label] of target.legendFormat?.matchAll(/\{\{(\w+)\}\}/g) ?? [])
          expect([...kept]).toContain(label)
      }
    },
  )
})

describe('alerts and panels', () => {
  const linked = all.flatMap(({ name, panel }) =>
    (panel.links ?? []).map(({ url = '' }) => ({ name, alert: url.match(/^\$\{runbooks:raw\}\/(\w+)\.md$/)?.[1] })),
  )
  const names = new Set(rules.map(({ alert }) => alert))

  test('each link of a panel is the runbook of an alert that there is', () => {
    expect(linked.filter(({ alert }) => alert === undefined || !names.has(alert))).toEqual([])
  })

  test('each alert has a panel that leads to its runbook', () => {
    const reached = new Set(linked.map(({ alert }) => alert))
    expect([...names].filter((alert) => !reached.has(alert))).toEqual([])
  })

  test('an alert leads to a dashboard that there is, with variables that it has', () => {
    const wrong = rules.flatMap(({ alert, annotations: { dashboard: url = '' } = {} }) => {
      const uid = url.match(/^\/d\/([\w-]+)/)?.[1]
      const dashboard = dashboards.find((dashboard) => dashboard.uid === uid)
      if (!dashboard) return [`${alert}: no dashboard ${uid}`]
      return [...url.matchAll(/[?&]var-(\w+)=/g)]
        .filter(([, name]) => !variablesOf(dashboard).includes(name as string))
        .map(([, name]) => `${alert}: ${uid} has no variable ${name}`)
    })
    expect(wrong).toEqual([])
  })
})

describe('what a query uses', () => {
  const of = (query: string) =>
    usesOf(query).map(({ metric, labels, aggregation }) => [metric, [...labels].sort(), aggregation])

  test('is found in matchers, aggregations and joins', () => {
    expect(
      of('sum by (job, le) (rate(a_bucket{kind=~"$k"}[$__rate_interval])) / on (database) group_left (x) b'),
    ).toEqual([
      ['a_bucket', ['database', 'job', 'kind', 'le'], 'sum'],
      ['b', ['database'], null],
    ])
  })

  test('is without labels that only the other side of a join has', () => {
    expect(of('a >= ignoring (limit) b{limit="hard"}')).toEqual([
      ['a', [], null],
      ['b', ['limit'], null],
    ])
  })

  test('is without labels that the query makes itself', () => {
    expect(of('max by (state, job) (label_replace(a, "state", "held", "", ""))')).toEqual([['a', ['job'], 'max']])
  })

  test('is told of the innermost aggregation', () => {
    expect(of('sum(max by (job) (a)) or vector(0)')).toEqual([['a', ['job'], 'max']])
  })

  test('is not guessed from what is no PromQL', () => {
    expect(() => usesOf('sum(a{b="c"}')).toThrow('not PromQL')
  })
})
