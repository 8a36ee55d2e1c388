import { describe, expect, test } from 'vitest'
import { formatBytes, formatCount, formatSeconds, formatShare, listOf } from '../../src/core/format.ts'
import { spaceFindings, spaceSummary } from '../../src/core/space/findings.ts'
import {
  forecastSpace,
  type IndexFacts,
  matchingShare,
  type SpaceFacts,
  type SpaceSample,
  shareOfWritten,
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

  test('with a vacuum that comes too late to help is what it is without', () => {
    const { withoutVacuum, withVacuum } = forecastSpace(orders, { ...alone, maxDeadRows: 20_000_000 })
    expect(withVacuum).toEqual(withoutVacuum)
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

  test('with what was seen in a dry run, where there was one, and without indexes where there are none', () => {
    const bare = { ...orders, indexes: [] }
    const seen = forecastSpace(bare, { ...alone, rehearsed: { updated: 100, hot: 25 } })
    for (const fact of ['25 %', 'dry run', '870 MB']) expect(spaceSummary(bare, seen)).toContain(fact)
    expect(spaceSummary(bare, seen)).not.toContain('index')
    const one = { ...orders, indexes: [index] }
    expect(spaceSummary(one, forecastSpace(one, alone))).toMatch(/\bindex\b.* 200 MB/)
  })

  test('nothing, where no row is changed', () => {
    const none = { ...orders, sample: { ...(orders.sample as SpaceSample), rows: 10_000_000, matching: 0 } }
    const bad = { ...index, name: 'public.orders_done', key: ['done'] }
    const facts = { ...none, indexes: [bad], references: [{ name: 'fk', table: 'public.c', deferred: false }] }
    expect(spaceFindings(facts, forecastSpace(facts, alone), false)).toEqual([])
  })
})

/** What is said of a table with these indexes, its size aside. */
const saidOf = (indexes: readonly IndexFacts[], change: Partial<SpaceFacts> = {}, rehearsed = alone.rehearsed) => {
  const facts = { ...orders, ...change, indexes }
  return spaceFindings(facts, forecastSpace(facts, { ...alone, rehearsed }), true)
}
const hot = { updated: 100, hot: 100 } as unknown as null
const plain = { ...index, name: 'public.orders_x', unique: false, ofConstraint: false }

describe('an index that the job writes', () => {
  test('is to be built after the backfill: by name, size and column, with the statements', () => {
    const [said, ...more] = saidOf([{ ...plain, key: ['label', 'state'] }])
    expect(more).toEqual([])
    for (const fact of ['public.orders_x (200 MB)', 'label and state', 'HOT']) expect(said).toContain(fact)
    expect(said).not.toContain('indexes')
    expect(said).toContain('DROP INDEX CONCURRENTLY public.orders_x')
    expect(said).toContain('CREATE INDEX CONCURRENTLY')
  })

  test('makes every other index be written too: it is said how many', () => {
    const [said] = saidOf([{ ...plain, key: ['label'] }, index, { ...index, name: 'public.orders_total' }])
    expect(said).toContain('3 indexes')
  })

  test('by an expression is told as such', () => {
    const [said] = saidOf([{ ...plain, unique: true, computed: ['label'], hasExpressions: true }])
    expect(said).toMatch(/^Unique index .*\blabel\b.*\bexpression\b/)
  })

  test('of the rows that are left to do is not needed: they are found by key', () => {
    const todo = { ...plain, predicate: '(label IS NULL)', computed: ['label'] }
    const [said] = saidOf([todo])
    for (const fact of ['WHERE (label IS NULL)', 'by key', 'DROP INDEX CONCURRENTLY public.orders_x'])
      expect(said).toContain(fact)
    expect(said).not.toContain('expression')
    expect(saidOf([{ ...todo, hasExpressions: true }])[0]).toMatch(/\bexpression\b.*\bpredicate\b/)
    // Its key is written as well: then it is one like any other.
    expect(saidOf([{ ...todo, key: ['label'] }])[0]).not.toContain('WHERE')
  })

  test('of a constraint goes with that, which no DROP INDEX can', () => {
    const [said] = saidOf([{ ...index, key: ['label'] }])
    expect(said).toMatch(/drop the constraint\b.* public\.orders\b/)
    expect(said).not.toContain('DROP INDEX')
  })

  test('of a partitioned table is dropped as a whole, which cannot be done concurrently', () => {
    const [said] = saidOf([{ ...plain, partitioned: true, key: ['label'] }])
    expect(said).toContain('DROP INDEX public.orders_x')
    expect(said).not.toContain('CONCURRENTLY')
  })

  test('of one partition concerns the updates of that one', () => {
    const parts = [
      { oid: '1', bytes: 500_000_000 },
      { oid: '2', bytes: 500_000_000 },
    ]
    const both = { ...index, parts: ['1', '2'] }
    const [said] = saidOf([{ ...plain, parts: ['2'], key: ['label'] }, both], { parts })
    expect(said).toContain('of its partition')
    expect(said).toContain('2 indexes')
    expect(saidOf([{ ...both, key: ['label'] }], { parts })[0]).not.toContain('partition')
  })

  test('that only sums pages up does not keep an update from being HOT', () => {
    expect(saidOf([{ ...plain, method: 'brin', summarizing: true, key: ['label'] }])).toEqual([])
  })
})

describe('indexes that are written only because rows move', () => {
  const many = (count: number, change: Partial<IndexFacts> = {}) =>
    Array.from({ length: count }, (_, number) => ({ ...plain, name: `public.i${number}`, ...change }))

  test('are told from four on, unless every update is HOT', () => {
    expect(saidOf(many(3))).toEqual([])
    const [said] = saidOf(many(4))
    expect(said).toMatch(/10,000,000 updates\b.*\b4 indexes/)
    for (const { name } of many(4)) expect(said).toContain(`${name} (200 MB)`)
    expect(saidOf(many(4), {}, hot)).toEqual([])
  })

  test('are told by name up to five, and how many more there are', () => {
    expect(saidOf(many(5))[0]).toContain('public.i4 (200 MB)')
    const [said] = saidOf(many(8))
    expect(said).toContain('8 indexes')
    expect(said).toMatch(/public\.i4 \(200 MB\).*\b3 more\b/)
    expect(said).not.toContain('public.i5')
  })

  test('are counted for each partition by itself', () => {
    const parts = [
      { oid: '1', bytes: 500_000_000 },
      { oid: '2', bytes: 500_000_000 },
    ]
    expect(saidOf([...many(3, { parts: ['1'] }), ...many(3, { parts: ['2'] })], { parts })).toEqual([])
    const [said] = saidOf([...many(4, { parts: ['1'] }), ...many(1, { parts: ['2'] })], { parts })
    expect(said).toMatch(/\b4 at most\b.*\bpartitions\b/)
  })

  test('that nobody can use are to be dropped', () => {
    const [said] = saidOf([{ ...plain, valid: false }])
    expect(said).toContain('not valid')
    expect(said).toContain('DROP INDEX CONCURRENTLY public.orders_x')
    expect(saidOf([{ ...plain, valid: false, partitioned: true }])[0]).toContain('DROP INDEX public.orders_x')
    expect(saidOf([{ ...plain, valid: false }], {}, hot)).toEqual([])
  })

  test.for([
    ['gin', true],
    ['gist', true],
    ['spgist', true],
    ['btree', false],
    ['hash', false],
    ['brin', false],
  ] as const)('of the method %s are told of: %s', ([method, told]) => {
    const said = saidOf([{ ...plain, method, summarizing: method === 'brin' }])
    expect(said).toHaveLength(told ? 1 : 0)
    if (told)
      expect(said[0]).toMatch(new RegExp(`public\\.orders_x\\b.* ${method} index \\(200 MB\\).*DROP INDEX CONC`))
    expect(saidOf([{ ...plain, method }], {}, hot)).toEqual([])
  })
})

test('a foreign key over a column that the job writes is told with the table that it locks rows of, and when', () => {
  const key = { name: 'orders_customer_fkey', table: 'public.customers', deferred: false }
  const [now] = saidOf([], { references: [key] })
  for (const fact of ['orders_customer_fkey', 'public.customers', 'NOT VALID', 'VALIDATE CONSTRAINT'])
    expect(now).toContain(fact)
  expect(now).not.toContain('commit')
  expect(saidOf([], { references: [{ ...key, deferred: true }] })[0]).toContain('at the commit of its batch')
})

test('the part of a table where indexes are is that of its partitions which have one of them', () => {
  const parts = [
    { oid: '1', bytes: 300 },
    { oid: '2', bytes: 100 },
  ]
  const of = (...oids: string[]) => shareOfWritten({ parts }, oids.length > 0 ? [{ ...index, parts: oids }] : [])
  expect([of('1'), of('2'), of('1', '2'), of()]).toEqual([0.75, 0.25, 1, 0])
  // Of an empty table all or nothing.
  const empty = parts.map((part) => ({ ...part, bytes: 0 }))
  expect(shareOfWritten({ parts: empty }, [{ ...index, parts: ['2'] }])).toBe(1)
  expect(shareOfWritten({ parts: empty }, [])).toBe(0)
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

test('a time is as exact as one needs it', () => {
  expect([0, 0.004, 0.0994, 0.1, 0.314, 9.94, 12.4, 119, 120, 1080, 7199, 7200, 18_720].map(formatSeconds)).toEqual([
    '0 ms',
    '4 ms',
    '99 ms',
    '0.1 s',
    '0.31 s',
    '9.9 s',
    '12 s',
    '119 s',
    '2 min',
    '18 min',
    '120 min',
    '2 h',
    '5.2 h',
  ])
})
