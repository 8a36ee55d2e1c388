import { assert, integer, property, uniqueArray } from 'fast-check'
import { expect, test } from 'vitest'
import { type KeyRange, rangesBetween, residualRanges } from '../../src/core/range/range.ts'

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

test('the residual check of a job with a predicate has no upper end, in each partition; of another it has', () => {
  const old = { schema: 'public', table: 'old', oid: '1' }
  const young = { schema: 'public', table: 'young', oid: '2' }
  const ranges = [...rangesBetween([['5'], ['9']], old), ...rangesBetween([['20']], young)]
  expect(residualRanges(ranges, true)).toEqual([
    { leaf: old, lower: null, upper: ['5'] },
    { leaf: old, lower: ['5'], upper: null },
    { leaf: young, lower: null, upper: null },
  ])
  expect(residualRanges(ranges, false)).toEqual(ranges)
  expect(residualRanges(rangesBetween([['5']]), true)).toEqual(rangesBetween([]))
})
