import type { Dashboard, Panel } from '@grafana/grafana-foundation-sdk/dashboard'
import { database } from './database.ts'
import { type Metric, seriesOf, withUsers } from './metrics.ts'
import { overview } from './overview.ts'
import { usesOf } from './promql.ts'
import type { Rule } from './rules.ts'
import { run } from './run.ts'
import { service } from './service.ts'

export const dashboards: readonly Dashboard[] = [overview, run, database, service]

/** `Overview` of `evenkeel / Overview`. */
export const shortTitle = ({ title = '' }: Dashboard) => title.replace(/^.* \/ /, '')

export const fileOf = (dashboard: Dashboard) => `${shortTitle(dashboard).toLowerCase()}.json`

/** Without the headings. */
export const panelsOf = ({ panels = [] }: Dashboard): Panel[] =>
  panels.filter((panel): panel is Panel => panel.type !== 'row')

export const queriesOf = ({ targets = [] }: Panel): string[] =>
  targets.map((target) => (target as { expr?: string }).expr ?? '')

const seriesIn = (queries: readonly string[]) =>
  new Set(queries.flatMap((query) => usesOf(query).map(({ metric }) => metric)))
const reads = (series: ReadonlySet<string>, metric: Metric) => seriesOf(metric).some((name) => series.has(name))

function panelsByMetric(): (metric: Metric) => string {
  const shown = dashboards.map((dashboard) => ({
    of: shortTitle(dashboard),
    panels: panelsOf(dashboard).map((panel) => ({ title: panel.title, series: seriesIn(queriesOf(panel)) })),
  }))
  return (metric) =>
    shown
      .map(({ of, panels }) => ({
        of,
        titles: panels.filter(({ series }) => reads(series, metric)).map(({ title }) => title),
      }))
      .filter(({ titles }) => titles.length > 0)
      .map(({ of, titles }) => `${of}: ${titles.join(', ')}`)
      .join('; ')
}

function alertsByMetric(rules: readonly Rule[]): (metric: Metric) => string {
  const known = rules.map(({ alert, expr }) => ({ alert, series: seriesIn([expr]) }))
  return (metric) =>
    [...new Set(known.filter(({ series }) => reads(series, metric)).map(({ alert }) => alert))]
      .map((alert) => `[${alert}](runbooks/${alert}.md)`)
      .join(', ')
}

export const metricsPage = (page: string, rules: readonly Rule[]) =>
  withUsers(page, panelsByMetric(), alertsByMetric(rules))

const sorted = (value: unknown): unknown =>
  Array.isArray(value)
    ? value.map(sorted)
    : value !== null && typeof value === 'object'
      ? Object.fromEntries(
          Object.entries(value)
            .sort(([a], [b]) => (a < b ? -1 : 1))
            .map(([key, inner]) => [key, sorted(inner)]),
        )
      : value

/** Sorted, so that a difference shows what was changed and nothing else. */
export const asJson = (dashboard: Dashboard) => `${JSON.stringify(sorted(dashboard), null, 2)}\n`
