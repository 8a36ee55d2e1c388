import { readdirSync, readFileSync } from 'node:fs'
import { parser } from '@prometheus-io/lezer-promql'

/** What a dashboard asks of Prometheus, with its variables filled in as Grafana fills them in. */

/** The part of a dashboard's JSON that is read here. */
export interface DashboardFile {
  readonly uid: string
  readonly title: string
  readonly templating: { readonly list: readonly Variable[] }
  readonly annotations: { readonly list: readonly Annotation[] }
  readonly panels: readonly { readonly id: number; readonly title: string; readonly targets?: readonly Target[] }[]
}

interface Variable {
  readonly name: string
  readonly type: string
  readonly query: string | { readonly query: string }
  readonly allValue?: string
  readonly includeAll?: boolean
  readonly multi?: boolean
}

export interface Annotation {
  readonly name: string
  readonly iconColor: string
  readonly target: { readonly expr: string }
  readonly titleFormat: string
  readonly textFormat: string
}

interface Target {
  readonly refId: string
  readonly expr: string
  readonly legendFormat?: string
  readonly format?: 'time_series' | 'table' | 'heatmap'
  readonly instant?: boolean
}

export interface Query extends Target {
  readonly panel: { readonly id: number; readonly title: string }
}

/** The time that is looked at, Unix time in seconds, and what the data source is told of its scrapes. */
export interface Range {
  readonly start: number
  readonly end: number
  readonly scrapeSeconds: number
}

/** What a variable stands for: one value, several, or what is written in its place as it is. */
type Value = string | readonly string[] | { readonly raw: string }
export type Values = Readonly<Record<string, Value>>

const folder = new URL('../dashboards/', import.meta.url)
/** As many points as a panel of half the screen has pixels for. */
const points = 800

export function readDashboards(): DashboardFile[] {
  return readdirSync(folder)
    .filter((name) => name.endsWith('.json'))
    .sort()
    .map((name) => JSON.parse(readFileSync(new URL(name, folder), 'utf8')) as DashboardFile)
}

/** Between two points of a range. No finer than the scrapes. Seconds. */
export function stepOf({ start, end, scrapeSeconds }: Range): number {
  return Math.max(scrapeSeconds, Math.round((end - start) / points))
}

/** Values of a label on the series of a selector. */
export type LabelValues = (label: string, selector: string) => Promise<readonly string[]>

/** The query of a variable, and what it found. */
export interface VariableQuery {
  readonly name: string
  readonly selector: string
  readonly label: string
  readonly found: readonly string[]
}

function queryOf({ name, query }: Variable): Pick<VariableQuery, 'selector' | 'label'> {
  const text = typeof query === 'string' ? query : query.query
  const [, selector, label] = /^label_values\((.+),\s*(\w+)\)$/s.exec(text) ?? []
  if (selector === undefined || label === undefined) throw new Error(`variable ${name}: ${text} is not label_values`)
  return { selector, label }
}

export interface Choice {
  readonly values: Values
  /** As it is shown above the dashboard. */
  readonly shown: Readonly<Record<string, string>>
  readonly queries: readonly VariableQuery[]
}

/** Chooses all where all can be chosen, and otherwise what is `wanted`. */
export async function choose(
  { templating }: DashboardFile,
  wanted: Readonly<Record<string, string>>,
  labelValues: LabelValues,
): Promise<Choice> {
  const values: Record<string, Value> = {}
  const shown: Record<string, string> = {}
  const queries: VariableQuery[] = []
  for (const variable of templating.list) {
    const { name, type } = variable
    if (type === 'constant') values[name] = String(variable.query)
    if (type !== 'query') continue
    const { selector: written, label } = queryOf(variable)
    const selector = fillIn(written, values)
    const found = await labelValues(label, selector)
    queries.push({ name, selector, label, found })
    const one = wanted[name]
    if (one !== undefined) {
      if (!found.includes(one)) throw new Error(`variable ${name}: ${one} is not among ${found.join(', ')}`)
      values[name] = one
    } else if (variable.includeAll) values[name] = variable.allValue === undefined ? found : { raw: variable.allValue }
    else throw new Error(`variable ${name}: say which one of ${found.join(', ')}`)
    shown[name] = one ?? 'All'
  }
  return { values, shown, queries }
}

/** Of every target of every panel, in their order. */
export function queriesOf(dashboard: DashboardFile, values: Values, range: Range): Query[] {
  return dashboard.panels.flatMap(({ id, title, targets = [] }) =>
    targets.map((target) => ({
      ...target,
      panel: { id, title },
      expr: fillIn(target.expr, { ...values, ...times(range) }),
    })),
  )
}

export function annotationsOf(dashboard: DashboardFile, values: Values, range: Range): Annotation[] {
  return dashboard.annotations.list.map((annotation) => ({
    ...annotation,
    target: { expr: fillIn(annotation.target.expr, { ...values, ...times(range) }) },
  }))
}

function times(range: Range): Values {
  const { start, end, scrapeSeconds } = range
  const step = stepOf(range)
  const inWords = (seconds: number) => `${Math.round(seconds * 1000)}ms`
  return {
    __interval: inWords(step),
    __rate_interval: inWords(Math.max(step + scrapeSeconds, 4 * scrapeSeconds)),
    __range: inWords(end - start),
  }
}

const escapedRegex = (text: string) => text.replaceAll(/[\\^$*+?.()|[\]{}]/g, '\\\\$&')

function inQuery(value: Value): string {
  if (typeof value === 'string') return escapedRegex(value)
  if ('raw' in value) return value.raw
  const escaped = value.map(escapedRegex)
  return escaped.length === 1 ? String(escaped[0]) : `(${escaped.join('|')})`
}

/** `$name` and `${name}`. A form that is not filled in is an error: Prometheus would look for a series of that name. */
function fillIn(text: string, values: Values): string {
  return text.replaceAll(/\$(?:\{([^}]+)\}|(\w+))/g, (whole, braced?: string, bare?: string) => {
    const value = values[(braced ?? bare) as string]
    if (value === undefined) throw new Error(`${whole} is not known: ${text}`)
    return inQuery(value)
  })
}

/** `{{job_name}}` by the series' labels, as in legends and in the titles of events. */
export function byLabels(format: string, labels: Readonly<Record<string, string>>): string {
  return format.replaceAll(/\{\{\s*(\w+)\s*\}\}/g, (_, label: string) => labels[label] ?? '').trim()
}

/** The series that an expression reads: each selector in it, with neither its range nor its offset. */
export function selectorsOf(expr: string): string[] {
  const found = new Set<string>()
  parser.parse(expr).iterate({
    enter({ name, from, to }) {
      if (name === 'VectorSelector') found.add(expr.slice(from, to))
    },
  })
  return [...found]
}
