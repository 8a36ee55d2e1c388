import { describe, expect, test } from 'vitest'
import { formatBytes, formatCount, formatShare, listOf } from '../../src/core/format.ts'
import { spaceFindings, spaceSummary } from '../../src/core/space/findings.ts'
import {
  forecastSpace,
  type IndexFacts,
  matchingShare,
  type SpaceFacts,
  type SpaceSample,
} from '../../src/core/space/forecast.ts'

const index: IndexFacts = {
  name: 'public.orders_pkey',
  method: 'btree',
  bytes: 200_000_000,
  valid: true,
  unique: true,
  ofConstraint: true,
  partitioned: false,
  summarizing: false,
  predicate: null,
  hasExpressions: false,
  key: [],
  computed: [],
  parts: ['1'],
}

/** Ten million rows, 81 of 96 bytes on a page: full. */
const orders: SpaceFacts = {
  table: 'public.orders',
  heapBytes: 1_011_359_744,
  toastBytes: 0,
  pageBytes: 8192,
  deadRows: 0,
  fill: 1,
  parts: [{ oid: '1', bytes: 1_011_359_744 }],
  rows: 10_000_000,
  sample: { rows: 10_000, matching: 10_000, rowBytes: 96, oldBytes: 96, newBytes: 112, longBytes: 0 },
  indexes: [index, { ...index, name: 'public.orders_total', bytes: 400_000_000 }],
  triggers: [],
  references: [],
}
const alone = { rehearsed: null, maxDeadRows: null }

describe('a forecast', () => {
  test('of full pages: every row is written anew, and in every index', () => {
    const { hotShare, withoutVacuum, withVacuum } = forecastSpace(orders, alone)
    expect(hotShare).toBe(0)
    expect(withoutVacuum.tableBytes).toBeCloseTo(10_000_000 * 116, -5)
    expect(withoutVacuum.indexBytes).toBeCloseTo(600_000_000, -5)
    expect(withoutVacuum.ratio).toBeCloseTo(1760 / 1611, 2)
    expect(withVacuum).toBeNull()
  })

  test('with vacuum: what is dead at a time, and by what rows are wider', () => {
    const { withVacuum } = forecastSpace(orders, { ...alone, maxDeadRows: 1_000_000 })
    expect(withVacuum?.tableBytes).toBeCloseTo(1_000_000 * 116 + 10_000_000 * 16, -5)
    expect(withVacuum?.indexBytes).toBeCloseTo(60_000_000, -5)
  })

  test('of pages with room: as many updates stay on them as there is room for', () => {
    const half = { ...orders, heapBytes: 2 * orders.heapBytes, fill: 0.5 }
    expect(forecastSpace(half, alone).hotShare).toBeGreaterThan(0.8)
    expect(forecastSpace({ ...half, deadRows: 10_000_000 }, alone).hotShare).toBe(0)
    const few = { ...orders, heapBytes: 1.1 * orders.heapBytes, sample: { ...orders.sample, matching: 500 } }
    expect(forecastSpace(few as SpaceFacts, alone).hotShare).toBe(1)
  })

  test('goes by what was seen where something was', () => {
    const seen = { ...alone, rehearsed: { updated: 3000, hot: 1500 } }
    const { hotShare, hotMeasured, withoutVacuum } = forecastSpace(orders, seen)
    expect([hotShare, hotMeasured]).toEqual([0.5, true])
    expect(withoutVacuum.tableBytes).toBeCloseTo(5_000_000 * 116, -5)
    expect(forecastSpace(orders, { ...alone, rehearsed: { updated: 0, hot: 0 } }).hotMeasured).toBe(false)
  })

  test('of an index on the column: no update is HOT, and what was empty fills', () => {
    const empty = { ...index, name: 'public.orders_label', bytes: 8192, key: ['label'] }
    const half = { ...orders, heapBytes: 2 * orders.heapBytes, indexes: [empty] }
    const { hotShare, withoutVacuum, withVacuum } = forecastSpace(half, { ...alone, maxDeadRows: 1 })
    expect(hotShare).toBe(0)
    expect(withoutVacuum.indexBytes).toBeCloseTo(200_000_000, -5)
    // It stays full, whatever vacuum does.
    expect(withVacuum?.indexBytes).toBeCloseTo(200_000_000, -5)
    // What is free on the pages is taken first.
    expect(withoutVacuum.tableBytes).toBeLessThan(300_000_000)
  })

  test('of a table that nobody could look into, or that is empty, is still one', () => {
    const blind = forecastSpace({ ...orders, sample: null }, alone)
    expect(blind.rowsToChange).toBe(10_000_000)
    expect(blind.withoutVacuum.tableBytes / orders.heapBytes).toBeGreaterThan(0.9)
    expect(blind.withoutVacuum.tableBytes / orders.heapBytes).toBeLessThan(1.1)
    const none = { rows: 0, matching: 0, rowBytes: null, oldBytes: null, newBytes: null, longBytes: null }
    const empty = forecastSpace({ ...orders, rows: 0, heapBytes: 0, sample: none, indexes: [] }, alone)
    expect(empty).toMatchObject({ rowsToChange: 0, hotShare: 0, withoutVacuum: { tableBytes: 0, ratio: 0 } })
  })
})

test('few rows are not taken for none, unless all were looked at', () => {
  const sample = { ...orders.sample, rows: 10_000, matching: 0 } as SpaceSample
  expect(matchingShare({ sample, rows: 10_000_000 })).toBe(1 / 10_000)
  expect(matchingShare({ sample, rows: 10_000 })).toBe(0)
  expect(matchingShare({ sample: { ...sample, matching: 5000 }, rows: 10_000_000 })).toBe(0.5)
  expect(matchingShare({ sample: null, rows: 10_000_000 })).toBe(1)
})

describe('what is said of it', () => {
  test('in one sentence', () => {
    expect(spaceSummary(orders, forecastSpace(orders, { ...alone, maxDeadRows: 1_000_000 }))).toBe(
      'public.orders has 1 GB; about 10,000,000 of its rows are changed, 0 % of them by a HOT update (worked out from its pages). Without vacuum in between it grows by about 1.2 GB, its 2 indexes by about 600 MB; with vacuum keeping up, by about 276 MB, its 2 indexes by about 60 MB.',
    )
  })

  test('a table that doubles is told how not to, unless the run waits for vacuum', () => {
    const forecast = forecastSpace(orders, alone)
    expect(spaceFindings(orders, forecast, false)).toEqual([
      'public.orders and its indexes grow by 109 % (1.8 GB), and autovacuum does not run before the run ends: let the run wait for vacuum, with the option "signals": {"dead-tuples": 0.2} or a number of dead rows.',
    ])
    expect(spaceFindings(orders, forecast, true)).toEqual([])
    const coming = forecastSpace(orders, { ...alone, maxDeadRows: 1_000_000 })
    expect(spaceFindings(orders, coming, false)[0]).toContain('if vacuum does not keep up with the run')
  })
})

test('numbers are short enough for a sentence', () => {
  expect([0, 812, 4_100_000_000, 9_999, 1e15].map(formatBytes)).toEqual(['0 B', '812 B', '4.1 GB', '10 kB', '1000 TB'])
  expect(formatCount(1_200_050.4)).toBe('1,200,050')
  expect([0, 0.0042, 0.37, 0.9999, 1, 1.09].map(formatShare)).toEqual([
    '0 %',
    '0.4 %',
    '37 %',
    '99.9 %',
    '100 %',
    '109 %',
  ])
  expect([[], ['a'], ['a', 'b'], ['a', 'b', 'c']].map(listOf)).toEqual(['', 'a', 'a and b', 'a, b and c'])
})
