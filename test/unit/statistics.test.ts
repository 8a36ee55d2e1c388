import { array, assert, integer, property } from 'fast-check'
import { describe, expect, test } from 'vitest'
import { median, sum } from '../../src/core/statistics.ts'

describe('a median', () => {
  test('is the middle value, the mean of the middle two, and of none no number', () => {
    expect([median([7]), median([9, 1, 5]), median([10, 2, 9, 1])]).toEqual([7, 5, 5.5])
    expect(median([])).toBeNaN()
  })

  test('has as many values below it as above, and leaves the list as it was', () => {
    assert(
      property(array(integer({ min: -1000, max: 1000 }), { minLength: 1 }), (values) => {
        const before = [...values]
        const middle = median(values)
        expect(values).toEqual(before)
        const half = values.length / 2
        expect(values.filter((value) => value < middle).length).toBeLessThanOrEqual(half)
        expect(values.filter((value) => value > middle).length).toBeLessThanOrEqual(half)
      }),
    )
  })
})

test('a sum of nothing is nothing', () => {
  expect([sum([]), sum([1, 2, 3.5])]).toEqual([0, 6.5])
})
