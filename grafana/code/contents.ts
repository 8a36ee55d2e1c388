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

const reads = (queries: readonly string[], metric: Metric) =>
  queries.some((query) => usesOf(query).some((use) => seriesOf(metric).includes(use.metric)))

function panelsThatShow(metric: Metric): string {
  return dashboards
    .map((dashboard) => {
      const titles = panelsOf(dashboard)
        .filter((panel) => reads(queriesOf(panel), metric))
        .map(({ title }) => title)
      return titles.length === 0 ? '' : `${shortTitle(dashboard)}: ${[...new Set(titles)].join(', ')}`
    })
    .filter((part) => part !== '')
    .join('; ')
}

const alertsThatRead = (rules: readonly Rule[]) => (metric: Metric) =>
  [...new Set(rules.filter(({ expr }) => reads([expr], metric)).map(({ alert }) => alert))]
    .map((alert) => `[${alert}](runbooks/${alert}.md)`)
    .join(', ')

export const metricsPage = (page: string, rules: readonly Rule[]) =>
  withUsers(page, panelsThatShow, alertsThatRead(rules))

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
