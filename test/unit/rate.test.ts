import { assert, double, integer, property } from 'fast-check'
import { describe, expect, test } from 'vitest'
import { DrawnRows, rowRate } from '../../src/core/throttle/row-rate.ts'

const anyLimit = double({ min: 1e-300, max: 1e300, noNaN: true })
const anyParallelism = integer({ min: 1, max: 64 })

describe('a rate of rows', () => {
  test('is drawn in portions that all workers together use up in a quarter of a second, or row by row', () => {
    expect(rowRate(60_000, 2)).toEqual({ rowsPerSecond: 60_000, burst: 15_000, portion: 7500 })
    expect(rowRate(50, 1)).toEqual({ rowsPerSecond: 50, burst: 12.5, portion: 12 })
    expect(rowRate(0.5, 8)).toEqual({ rowsPerSecond: 0.5, burst: 1, portion: 1 })
    assert(
      property(anyLimit, anyParallelism, (limit, parallelism) => {
        const { rowsPerSecond, burst, portion } = rowRate(limit, parallelism)
        expect(Number.isInteger(portion)).toBe(true)
        expect(portion).toBeGreaterThanOrEqual(1)
        // A bucket that is full has what is drawn at once.
        expect(portion).toBeLessThanOrEqual(burst)
        if (portion > 1) expect(portion * parallelism).toBeLessThanOrEqual(rowsPerSecond / 4)
      }),
    )
  })

  test('has a wait for one row that a clock can tell, however low or high it is', () => {
    assert(
      property(anyLimit, (limit) => {
        const { rowsPerSecond } = rowRate(limit, 1)
        expect(1 / rowsPerSecond).toBeGreaterThan(0)
        expect(1 / rowsPerSecond).toBeLessThanOrEqual(1e9 * 1.001)
      }),
    )
  })
})

describe('rows that were drawn', () => {
  test('make windows that never use more than was drawn, and what is left is given back', () => {
    assert(
      property(
        integer({ min: 1, max: 1000 }),
        integer({ min: 1, max: 500 }),
        double({ min: 0, max: 1, noNaN: true }),
        (size, portion, filled) => {
          const rows = new DrawnRows()
          let [drawn, used] = [0, 0]
          for (let step = 0; step < 100; step += 1) {
            const window = rows.window(size, portion)
            if (window === 0) {
              rows.draw(portion)
              drawn += portion
              continue
            }
            expect(window).toBeLessThanOrEqual(size)
            const passed = Math.round(window * filled)
            rows.use(passed)
            used += passed
          }
          expect(used).toBeLessThanOrEqual(drawn)
          expect(rows.giveBack()).toBe(drawn - used)
          expect(rows.giveBack()).toBe(0)
        },
      ),
    )
  })

  test('are not cut into crumbs: where there are fewer than a window, a portion is drawn first', () => {
    const rows = new DrawnRows()
    rows.draw(10)
    expect(rows.window(8, 10)).toBe(8)
    rows.use(8)
    expect(rows.window(8, 10)).toBe(0)
    rows.draw(10)
    expect(rows.window(8, 10)).toBe(8)
  })
})
