import { assert, integer, property, uniqueArray } from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type PhaseName, phaseNames } from '../../src/core/range/phase.ts'
import {
  type KeyRange,
  pageRanges,
  rangesBetween,
  rangesOfPhases,
  residualRanges,
  spread,
} from '../../src/core/range/range.ts'

/** Above lower, up to and including upper; keys are whole numbers here. */
function holds(range: KeyRange, key: number): boolean {
  const above = range.lower === null || key > Number(range.lower[0])
  return above && (range.upper === null || key <= Number(range.upper[0]))
}

const boundaries = uniqueArray(integer({ min: -50, max: 50 }), { minLength: 1, maxLength: 12 }).map((list) =>
  list.sort((a, b) => a - b),
)

test('an empty table is one range without bounds', () => {
  expect(rangesBetween([])).toEqual([{ leaf: null, lower: null, upper: null }])
})

test('a boundary belongs to the range that ends with it', () => {
  expect(rangesBetween([['5'], ['9']])).toEqual([
    { leaf: null, lower: null, upper: ['5'] },
    { leaf: null, lower: ['5'], upper: ['9'] },
  ])
})

test('every key up to the last boundary belongs to exactly one range, and none above it to any', () => {
  assert(
    property(boundaries, integer({ min: -60, max: 60 }), (list, key) => {
      const found = rangesBetween(list.map((boundary) => [String(boundary)])).filter((range) => holds(range, key))
      expect(found.length).toBe(key <= (list.at(-1) as number) ? 1 : 0)
    }),
  )
})

test('the same boundary twice makes an empty range, and no key belongs to two', () => {
  const ranges = rangesBetween([['5'], ['5'], ['9']])
  for (const key of [4, 5, 6, 9]) expect(ranges.filter((range) => holds(range, key)).length, String(key)).toBe(1)
})

const old = { schema: 'public', table: 'old', oid: '1' }
const young = { schema: 'public', table: 'young', oid: '2' }
const ranges = [...rangesBetween([['5'], ['9']], old), ...rangesBetween([['20']], young)]

test('the residual check of a job with a predicate has no upper end, in each partition; of another it has', () => {
  expect(residualRanges(ranges, true)).toEqual([
    { leaf: old, lower: null, upper: ['5'] },
    { leaf: old, lower: ['5'], upper: null },
    { leaf: young, lower: null, upper: null },
  ])
  expect(residualRanges(ranges, false)).toEqual(ranges)
  expect(residualRanges(rangesBetween([['5']]), true)).toEqual(rangesBetween([]))
})

describe('the check by pages', () => {
  test('has one range without bounds for each file', () => {
    expect(pageRanges(ranges)).toEqual([
      { leaf: old, lower: null, upper: null },
      { leaf: young, lower: null, upper: null },
    ])
    expect(pageRanges(rangesBetween([['5'], ['9']]))).toEqual([{ leaf: null, lower: null, upper: null }])
  })
})

describe('the ranges of a run', () => {
  const of = (names: readonly PhaseName[], hasPredicate: boolean, byLocale = false) =>
    rangesOfPhases(names, ranges, { hasPredicate, byLocale })
  const named = (phase: PhaseName, slices: readonly KeyRange[]) => slices.map((slice) => ({ ...slice, phase }))

  test('are those of each of its phases, in the order of these', () => {
    expect(of(phaseNames, true)).toEqual([
      ...named('keys', ranges),
      { phase: 'stragglers', leaf: null, lower: null, upper: null },
      ...named('residual', residualRanges(ranges, true)),
      ...named('pages', pageRanges(ranges)),
    ])
  })

  test('of a phase that it does not go through are none', () => {
    expect(of(['residual'], false)).toEqual(named('residual', ranges))
    expect(of([], true)).toEqual([])
  })

  test('by pages are there only for rows that match, or a key whose index may be out of order', () => {
    const pages = named('pages', pageRanges(ranges))
    expect(of(['pages'], true)).toEqual(pages)
    expect(of(['pages'], false, true)).toEqual(pages)
    expect(of(['pages'], false)).toEqual([])
  })
})

describe('a list that is spread', () => {
  test('has every third first', () => {
    expect(spread([0, 1, 2, 3, 4, 5, 6, 7])).toEqual([0, 3, 6, 1, 4, 7, 2, 5])
    expect(spread([])).toEqual([])
  })

  test('keeps each of its items once, and has one of any three neighbours in its first third', () => {
    assert(
      property(uniqueArray(integer(), { maxLength: 40 }), (items) => {
        const list = spread(items)
        expect([...list].sort()).toEqual([...items].sort())
        const first = list.slice(0, Math.ceil(items.length / 3))
        for (let index = 0; index + 3 <= items.length; index += 1)
          expect(items.slice(index, index + 3).filter((item) => first.includes(item)).length).toBe(1)
      }),
    )
  })
})
