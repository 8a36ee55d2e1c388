import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { type Dashboard, readDashboard } from '../../tools/renderer/dashboard.ts'
import { drawDashboard } from '../../tools/renderer/page.ts'
import type { QueryPanel } from '../../tools/renderer/panels.ts'
import { through } from '../../tools/renderer/path.ts'
import type { RecordedDashboard, RecordedQuery } from '../../tools/renderer/recording.ts'
import { tickOf, type UnitName, written } from '../../tools/renderer/units.ts'

const [start, end, step] = [1_800_000_000, 1_800_003_600, 60]
const names = ['overview', 'run', 'database', 'service']

type Json = { [key: string]: Json } & Json[]
const jsonOf = (name: string): Json =>
  JSON.parse(readFileSync(new URL(`../../grafana/dashboards/${name}.json`, import.meta.url), 'utf8'))
const dashboards = names.map((name) => readDashboard(jsonOf(name)))
const asked = ({ panels }: Dashboard) => panels.filter((panel): panel is QueryPanel => panel.type !== 'row')

type Target = QueryPanel['targets'][number]
/** The values of the labels, and after a `#` those over time, or the newest alone. */
type Answer = (
  target: Target,
) => readonly { readonly labels: Record<string, string>; readonly values: readonly number[] }[]

function answer(target: Target, result: ReturnType<Answer>): RecordedQuery {
  const shared = {
    refId: target.refId,
    expr: target.expr,
    legendFormat: (target.legendFormat as string | undefined) ?? null,
    format: 'time_series' as const,
  }
  if (target.instant) {
    const newest = result.map(({ labels, values }) => ({
      metric: labels,
      value: [end, String(values.at(-1))] as const,
    }))
    return { ...shared, type: 'instant', result: newest }
  }
  const over = result.map(({ labels, values }) => ({
    metric: labels,
    values: values.flatMap((value, index) =>
      Number.isNaN(value) ? [] : [[start + index * step, String(value)] as const],
    ),
  }))
  return { ...shared, type: 'range', result: over }
}

function recordingOf(dashboard: Dashboard, of: Answer): RecordedDashboard {
  return {
    start,
    end,
    step,
    variables: { service: 'All', database: 'All', job_name: 'users-full-name' },
    panels: Object.fromEntries(
      asked(dashboard).map(({ id, targets }) => [id, targets.map((target) => answer(target, of(target)))]),
    ),
    annotations: [
      { name: 'Run events', color: 'blue', events: [{ time: start + 600, title: 'verify', text: 'users-full-name' }] },
    ],
  }
}

const few: Answer = () => [{ labels: { job_name: 'users-full-name', status: 'running', le: '1' }, values: [1, 2, 0.5] }]

/** One panel of a dashboard alone, with what its queries are answered. */
function drawn(name: string, title: string, of: Answer): string {
  const dashboard = dashboards[names.indexOf(name)] as Dashboard
  const panels = dashboard.panels.filter((panel) => panel.title === title)
  return drawDashboard({ ...dashboard, panels }, [], recordingOf(dashboard, of))
}

/** The same dashboard with a panel that is changed. */
function changed(name: string, title: string, change: (panel: Json) => void): Dashboard {
  const json = jsonOf(name)
  change((json.panels as Json).find((panel) => String(panel.title) === title) as Json)
  return readDashboard(json)
}

const words = (picture: string) => [...picture.matchAll(/<text[^>]*>([^<]*)</g)].map(([, each]) => each)
const escaped = (title: string) => title.replaceAll('&', '&amp;')

describe.each(dashboards.map((dashboard) => [dashboard.title, dashboard] as const))('%s', (_, dashboard) => {
  const picture = drawDashboard(dashboard, dashboards, recordingOf(dashboard, few))

  test('shows every panel and heading with its whole title', () => {
    expect(words(picture)).toEqual(expect.arrayContaining(dashboard.panels.map(({ title }) => escaped(title))))
  })

  test('shows what is written where there is no data', () => {
    const empty = words(
      drawDashboard(
        dashboard,
        dashboards,
        recordingOf(dashboard, () => []),
      ),
    )
    const wanted = asked(dashboard).map(({ fieldConfig }) => fieldConfig.defaults.noValue ?? 'No data')
    expect(empty).toEqual(expect.arrayContaining(wanted))
  })

  test('is drawn alike each time, within what a page of docs may weigh', () => {
    expect(drawDashboard(dashboard, dashboards, recordingOf(dashboard, few))).toBe(picture)
    expect(picture).not.toMatch(/NaN|undefined|Infinity|<script/)
    expect(picture.length).toBeLessThan(400_000)
  })
})

describe('a panel', () => {
  test('has the colour of the threshold that its value has reached', () => {
    const failed = (value: number) => drawn('overview', 'Failed', () => [{ labels: {}, values: [value] }])
    expect(failed(0)).toContain('#56a64b')
    expect(failed(0)).not.toContain('#e02f44')
    expect(failed(1)).toContain('#e02f44')
  })

  test('is interrupted where nothing was measured', () => {
    const rate = (values: number[]) =>
      drawn('run', 'Passed over', () => [{ labels: {}, values }]).match(
        /<path d="([^"]*)" fill="none" stroke="#56/,
      )?.[1]
    expect(rate([0.1, 0.2, 0.3, 0.4])?.match(/M/g)).toHaveLength(1)
    expect(rate([0.1, 0.2, Number.NaN, 0.3, 0.4])?.match(/M/g)).toHaveLength(2)
  })

  test('shows limits as dashed lines in their colours', () => {
    const lag = drawn('database', 'Replica lag', ({ refId }) => [{ labels: {}, values: [refId === 'A' ? 1 : 5, 2] }])
    expect(lag).toMatch(/stroke="#e02f44"[^>]*stroke-dasharray="10 10"/)
  })

  test('makes one row of those that several queries say of the same', () => {
    const values: Record<string, number> = { A: 1, B: 0.25, C: 1200, D: 90, E: 3, F: 4, G: (end - 300) * 1000 }
    const jobs = drawn('overview', 'Jobs', ({ refId }) =>
      ['b', 'a'].map((job_name) => ({
        labels: {
          job: 'evenkeel',
          job_name,
          ...(refId === 'A' && { status: job_name === 'a' ? 'failed' : 'running' }),
        },
        values: [values[refId] ?? 0],
      })),
    )
    const row = ['25.0%', '1.20 K', '1.50 mins', '3', '4', '5 minutes ago', 'evenkeel']
    expect(words(jobs).slice(-18)).toEqual(['a', 'failed', ...row, 'b', 'running', ...row])
  })

  test('has what was in each bucket alone as a cell', () => {
    const cells = (above: number) =>
      drawn('run', 'Batch times', () => [
        { labels: { le: '1' }, values: [0, 5, 5] },
        { labels: { le: '2' }, values: [0, above, above] },
      ]).match(/M[\d. ]+h[\d.]+v[\d.]+h-/g)?.length
    expect(cells(5)).toBe(2)
    expect(cells(6)).toBe(4)
  })

  test('shows what happened when', () => {
    expect(words(drawn('run', 'Passed over', few))).toContain('verify')
  })

  test('has the words of the world in it as words', () => {
    const name = '<script>"&'
    const renamed = changed('overview', 'Runs by status', (panel) => Object.assign(panel, { title: name }))
    const statuses = [name, 'other'].map((status) => ({ labels: { status }, values: [1] }))
    const picture = drawDashboard(
      renamed,
      [],
      recordingOf(renamed, () => statuses),
    )
    expect(words(picture).filter((each) => each === '&lt;script&gt;&quot;&amp;').length).toBeGreaterThanOrEqual(2)
    expect(picture).not.toContain('<script')
  })
})

test('a line goes through its places, though each is told by the one before', () => {
  const places = [0, 100.25, 110.25, 109.75, 109.75, 109.75, 0.04].map((y, index) => [index * 10, y] as const)
  const [, first = '', ...steps] = through(places).split(/[Ml]/)
  const numbers = `${first} ${steps.join(' ')}`.trim().split(' ').map(Number)
  const reached = { x: 0, y: 0 }
  const ends = numbers.flatMap((number, index) => {
    if (index % 2 === 0) reached.x += number
    else reached.y += number
    return index % 2 === 0 ? [] : [[reached.x, Math.round(reached.y * 10) / 10]]
  })
  // Of the three in a row at one height the one in the middle is not told.
  expect(ends).toEqual([
    [0, 0],
    [10, 100.3],
    [20, 110.3],
    [30, 109.8],
    [50, 109.8],
    [60, 0],
  ])
})

describe('is refused by its name', () => {
  test('a type of panel that is not drawn', () => {
    const pie = () => changed('overview', 'Failed', (panel) => Object.assign(panel, { type: 'piechart' }))
    expect(pie).toThrow('evenkeel / Overview, panel "Failed": cannot draw this: type is "piechart"')
  })

  test.each<[what: string, change: (panel: Json) => void]>([
    ['options.graphMode is "area"', ({ options }) => Object.assign(options as Json, { graphMode: 'area' })],
    ['options.newOne is true', ({ options }) => Object.assign(options as Json, { newOne: true })],
    ['repeat is "job_name"', (panel) => Object.assign(panel, { repeat: 'job_name' })],
    ['fieldConfig.defaults.unit is "furlongs"', ({ fieldConfig }) => set(fieldConfig, { unit: 'furlongs' })],
    [
      'fieldConfig.overrides.0.properties.0.id is "custom.drawStyle"',
      ({ fieldConfig }) => {
        const override = {
          matcher: { id: 'byName', options: 'x' },
          properties: [{ id: 'custom.drawStyle', value: 'bars' }],
        }
        Object.assign(fieldConfig as Json, { overrides: [override] })
      },
    ],
    [
      'fieldConfig.overrides.0.properties.0.value is {"mode":"fixed","fixedColor":"mauve"}',
      ({ fieldConfig }) => {
        const value = { mode: 'fixed', fixedColor: 'mauve' }
        const override = { matcher: { id: 'byName', options: 'x' }, properties: [{ id: 'color', value }] }
        Object.assign(fieldConfig as Json, { overrides: [override] })
      },
    ],
  ])('%s', (what, change) => {
    expect(() => changed('overview', 'Failed', change)).toThrow(`panel "Failed": cannot draw this: ${what}`)
  })

  test('a recording of other queries than the panel asks', () => {
    const [dashboard] = dashboards as [Dashboard]
    const recorded = { ...recordingOf(dashboard, few), panels: {} }
    expect(() => drawDashboard(dashboard, [], recorded)).toThrow('"Alerts that fire": it asks A,B, and the recording')
  })
})

function set(fieldConfig: Json | undefined, more: Record<string, unknown>): void {
  Object.assign(fieldConfig?.defaults as Json, more)
}

describe('numbers', () => {
  test.each<[UnitName, number, number | undefined, string]>([
    ['none', 12.345, undefined, '12.3'],
    ['none', 3, 2, '3.00'],
    ['short', 999, undefined, '999'],
    ['short', 12_345, undefined, '12.3 K'],
    ['short', 2_500_000, undefined, '2.50 Mil'],
    ['percentunit', 0.1234, 1, '12.3%'],
    ['s', 0, undefined, '0 s'],
    ['s', 0.00042, 0, '420 µs'],
    ['s', 0.25, undefined, '250 ms'],
    ['s', 90, 1, '1.5 mins'],
    ['s', 7200, undefined, '2 hours'],
    ['bytes', 1536, undefined, '1.50 KiB'],
    ['binBps', 16 * 1024 ** 2, undefined, '16 MiB/s'],
    ['ops', 0.5, undefined, '0.500 ops/s'],
    ['reqps', 1500, undefined, '1.50K req/s'],
    ['bool_yes_no', 1, undefined, 'Yes'],
    ['bool_yes_no', 0, undefined, 'No'],
    ['dateTimeFromNow', (end - 20) * 1000, undefined, 'a few seconds ago'],
    ['dateTimeFromNow', (end - 60) * 1000, undefined, 'a minute ago'],
    ['dateTimeFromNow', (end - 7200) * 1000, undefined, '2 hours ago'],
    ['dateTimeFromNow', (end - 3 * 86_400) * 1000, undefined, '3 days ago'],
  ])('of unit %s: %d with %s decimals', (unit, value, decimals, text) => {
    expect(written(value, { unit, decimals }, end)).toBe(text)
  })

  test('of an axis have no zeros after their last figure', () => {
    expect(tickOf(0.1 + 0.2, { unit: 's' })).toBe('300 ms')
    expect(tickOf(1.5 * 1024 ** 2, { unit: 'bytes' })).toBe('1.5 MiB')
    expect(tickOf(20, { unit: 'percentunit' })).toBe('2000%')
  })
})
