import { assert, double, integer, property } from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  deadRowsAt,
  ineffectiveLimit,
  maxUnvacuumed,
  type VacuumState,
  vacuumComes,
  vacuumOutlook,
  vacuumThreshold,
} from '../../src/core/space/autovacuum.ts'

const usual: VacuumState = { enabled: true, base: 50, scaleFactor: 0.2, most: null, rows: 1_000_000, dead: 0 }
const off = { ...usual, enabled: false }

test('autovacuum comes above base and part of the rows, never above the most, and not where it is off', () => {
  expect(vacuumThreshold(usual)).toBe(200_050)
  expect(vacuumThreshold({ ...usual, most: 100_000 })).toBe(100_000)
  expect(vacuumThreshold({ ...usual, most: 300_000 })).toBe(200_050)
  expect(vacuumThreshold(off)).toBeNull()
})

test('a limit is a number of rows, or a part of live and dead ones together', () => {
  expect(deadRowsAt({ rows: 5000 }, 1_000_000)).toBe(5000)
  expect(deadRowsAt({ part: 0.2 }, 1_000_000)).toBe(250_000)
})

test('what stays without vacuum is what is changed, up to the threshold, for each partition', () => {
  expect(maxUnvacuumed([usual], 1)).toBe(200_050)
  expect(maxUnvacuumed([usual], 0.1)).toBe(100_000)
  expect(maxUnvacuumed([usual, off], 1)).toBe(1_200_050)
  expect(vacuumComes([usual], 1)).toBe(true)
  expect(vacuumComes([usual], 0.1)).toBe(false)
  expect(vacuumComes([off], 1)).toBe(false)
})

describe('a limit', () => {
  test('above what autovacuum comes at is not complained of, nor one that is never reached', () => {
    expect(ineffectiveLimit('t', [usual], { part: 0.2 }, 1)).toBeNull()
    expect(ineffectiveLimit('t', [usual], { rows: 200_051 }, 1)).toBeNull()
    expect(ineffectiveLimit('t', [off], { rows: 200_000 }, 0.1)).toBeNull()
    expect(ineffectiveLimit('t', [{ ...usual, rows: 0 }], { part: 0.01 }, 1)).toBeNull()
  })

  test('below it is, with settings under which it is not', () => {
    expect(ineffectiveLimit('public.t', [usual], { rows: 100_000 }, 1)).toBe(
      'The run is held at 100,000 dead rows (signals.dead-tuples) and goes on when they are vacuumed, but autovacuum runs only at 200,050: ALTER TABLE public.t SET (autovacuum_vacuum_scale_factor = 0.05), or VACUUM public.t by hand each time the run is held.',
    )
    expect(ineffectiveLimit('t', [{ ...usual, base: 100_000 }], { rows: 100_000 }, 1)).toContain(
      'SET (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 25000)',
    )
  })

  test('where autovacuum is off is, with how to switch it on', () => {
    expect(ineffectiveLimit('t', [off], { rows: 100_000 }, 1)).toMatch(
      /autovacuum is switched off for t: VACUUM t by hand/,
    )
    expect(ineffectiveLimit('t', [usual, off], { rows: 300_000 }, 1)).toContain('for partitions of t')
  })

  test('of several partitions must be far enough above: the others keep what they have when one is vacuumed', () => {
    const half = { ...usual, rows: 500_000 }
    expect(ineffectiveLimit('t', [half, half], { part: 0.2 }, 1)).toContain('on each of its partitions')
    expect(ineffectiveLimit('t', [half, half], { part: 0.3 }, 1)).toBeNull()
  })

  test('is kept to under the settings that are proposed, whatever they were', () => {
    const settings = /scale_factor = ([\d.e-]+)(?:, autovacuum_vacuum_threshold = (\d+))?/
    assert(
      property(
        integer({ min: 1000, max: 1e9 }),
        double({ min: 0, max: 1, noNaN: true }),
        integer({ min: 0, max: 1e6 }),
        double({ min: 0.01, max: 0.9, noNaN: true }),
        (rows, scaleFactor, base, part) => {
          const state = { ...usual, rows, scaleFactor, base }
          const found = settings.exec(ineffectiveLimit('t', [state], { part }, 1) ?? '')
          if (!found) return
          const better = { ...state, scaleFactor: Number(found[1]), base: Number(found[2] ?? base) }
          expect(ineffectiveLimit('t', [better], { part }, 1)).toBeNull()
        },
      ),
    )
  })
})

describe('of a run that is held', () => {
  test('it is told when autovacuum is due', () => {
    expect(vacuumOutlook('t', [{ ...usual, dead: 200_051 }])).toMatch(
      /^Autovacuum is due .* long transaction or .*pg_prepared_xacts/,
    )
    expect(vacuumOutlook('t', [off, { ...usual, dead: 200_051 }])).toMatch(/^Autovacuum is due/)
  })

  test('it is told when it is not, and what to do', () => {
    expect(vacuumOutlook('t', [{ ...usual, dead: 200_050 }])).toBe(
      'Autovacuum does not run before 200,050 dead rows, and there are 200,050: VACUUM t by hand, and let it run earlier: ALTER TABLE t SET (autovacuum_vacuum_scale_factor = 0.1).',
    )
    // Of two partitions it comes to one.
    const one = vacuumOutlook('t', [
      { ...usual, dead: 200_000 },
      { ...off, dead: 100_000 },
    ])
    for (const fact of ['200,050', '300,000', 'VACUUM t', 'scale_factor = 0.07)', 'partitions'])
      expect(one).toContain(fact)
    expect(vacuumOutlook('t', [{ ...off, dead: 500_000 }])).toMatch(/Autovacuum is switched off: VACUUM t by hand/)
  })
})

test('of a table that was vacuumed a moment ago nobody is told to have that done more often', () => {
  const said = vacuumOutlook('t', [{ ...usual, dead: 12 }])
  for (const fact of ['200,050', ' 12', 'VACUUM t']) expect(said).toContain(fact)
  expect(said).not.toContain('ALTER TABLE')
})

test('nobody is told to have a table vacuumed for a handful of dead rows', () => {
  assert(
    property(integer({ min: 0, max: 1e9 }), integer({ min: 0, max: 1e6 }), (rows, dead) => {
      const said = vacuumOutlook('t', [{ ...usual, rows, dead }])
      const [, factor, threshold] =
        /scale_factor = ([\d.e-]+)(?:, autovacuum_vacuum_threshold = (\d+))?/.exec(said) ?? []
      if (factor !== undefined) expect(Number(threshold ?? usual.base) + Number(factor) * rows).toBeGreaterThan(50)
    }),
  )
})
