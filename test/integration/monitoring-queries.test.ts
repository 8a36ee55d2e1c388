import { expect, onTestFinished, test } from 'vitest'
import { Environment } from '../../grafana/code/environment.ts'
import { annotationsOf, choose, queriesOf, readDashboards, selectorsOf } from '../../grafana/code/queries.ts'
import { readRules, readRulesFile } from '../../grafana/code/rules.ts'
import { runScenario } from '../../grafana/code/scenario.ts'
import { Prometheus, type Series, scrapeSeconds } from '../../tools/processes/prometheus.ts'
import { limits } from '../support/tier.ts'

const unnamed = 'the service has one database, and it has no name'
/** What has nothing to show after such a run, and why that is right. */
const rightlyEmpty: Readonly<Record<string, string>> = {
  'evenkeel / Database: variable database': unnamed,
  'evenkeel / Overview: variable database': unnamed,
  'evenkeel / Run: variable database': unnamed,
  'evenkeel / Service: variable database': unnamed,
  'evenkeel / Service: Errors by route A': 'the API answers nothing with 5xx; that there are such series is seen',
}

interface Asked {
  readonly name: string
  readonly expr: string
}

const finite = ({ values }: Series) => values.some(([, value]) => Number.isFinite(Number(value)))

test(
  'every query of every panel, variable, annotation and alert has data after a run that saw a lot',
  async () => {
    const environment = await Environment.create(24_000, onTestFinished)
    const prometheus = await Prometheus.start({ targets: environment.urls, rules: readRulesFile() })
    onTestFinished(() => prometheus.stop())
    const { began } = await runScenario(environment, { first: 800, raised: 1500 }, () => prometheus.nextScrape())
    const span = { start: began, end: Date.now() / 1000, step: scrapeSeconds }
    const hasData = async (expr: string) => (await prometheus.queryRange(expr, span)).some(finite)

    const empty: string[] = []
    const asked: Asked[] = []
    for (const dashboard of readDashboards()) {
      const named = (what: string) => `${dashboard.title}: ${what}`
      const choice = await choose(dashboard, { job_name: 'orders-each' }, (label, selector) =>
        prometheus.labelValues(label, selector, span),
      )
      for (const { name, found } of choice.queries) if (found.length === 0) empty.push(named(`variable ${name}`))
      const range = { ...span, scrapeSeconds }
      for (const { panel, refId, expr } of queriesOf(dashboard, choice.values, range))
        asked.push({ name: named(`${panel.title} ${refId}`), expr })
      for (const { name, target } of annotationsOf(dashboard, choice.values, range))
        asked.push({ name: named(`annotation ${name}`), expr: target.expr })
    }
    for (const { name, expr } of asked) if (!(await hasData(expr))) empty.push(name)
    // What fires is no matter here, but an alert on what is never there never fires.
    for (const { alert, expr } of readRules()) {
      await prometheus.queryRange(expr, span)
      asked.push({ name: alert, expr })
    }
    for (const { name, expr } of asked)
      for (const selector of selectorsOf(expr)) if (!(await hasData(selector))) empty.push(`${name}: ${selector}`)
    expect([...new Set(empty)].sort()).toEqual(Object.keys(rightlyEmpty).sort())
  },
  4000 * limits.test,
)
