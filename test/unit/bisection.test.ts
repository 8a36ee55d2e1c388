import { assert, boolean, integer, property, uniqueArray } from 'fast-check'
import { expect, test } from 'vitest'
import { Bisection } from '../../src/core/range/bisection.ts'

/** Works off rows 0 to n-1, of which some fail by themselves, as a worker does. */
function workOff(
  rows: number,
  bad: ReadonlySet<number>,
  wanted: number,
  mended: (row: number) => boolean = () => false,
) {
  const bisection = new Bisection()
  const done: number[] = []
  const aside: number[] = []
  const mendedRows = new Set<number>()
  let cursor = 0
  let statements = 0
  let scanned = 0
  while (cursor < rows) {
    statements += 1
    const limit = bisection.limit(wanted)
    const alone = limit === 1
    if (alone && mended(cursor)) mendedRows.add(cursor)
    const window = Array.from({ length: Math.min(limit, rows - cursor) }, (_, index) => cursor + index)
    scanned += window.length
    if (window.every((row) => !bad.has(row) || mendedRows.has(row))) {
      done.push(...window)
      cursor += window.length
      bisection.passed(window.length, wanted)
    } else if (alone) {
      aside.push(cursor)
      cursor += 1
      bisection.passedOver()
    } else bisection.failed(limit)
  }
  return { done, aside, statements, scanned }
}

const upTo = (rows: number) => Array.from({ length: rows }, (_, row) => row)

test('exactly the rows that fail by themselves are set aside, and every other is done once', () => {
  assert(
    property(
      integer({ min: 1, max: 300 }),
      uniqueArray(integer({ min: 0, max: 299 }), { maxLength: 60 }),
      integer({ min: 1, max: 500 }),
      boolean(),
      (rows, bad, wanted, mends) => {
        const isBad = new Set(bad)
        const mended = (row: number) => mends && row % 3 === 0
        const { done, aside } = workOff(rows, isBad, wanted, mended)
        expect(aside).toEqual(upTo(rows).filter((row) => isBad.has(row) && !mended(row)))
        expect(done).toEqual(upTo(rows).filter((row) => !aside.includes(row)))
      },
    ),
  )
})

test('the cost grows with the bad rows, not with the table or the window', () => {
  const cost = (rows: number, every: number, wanted: number) =>
    workOff(rows, new Set(upTo(rows).filter((row) => row % every === every - 1)), wanted)
  const few = cost(200_000, 20_000, 5000)
  expect(few.aside).toHaveLength(10)
  expect(few.statements - 200_000 / 5000).toBeLessThan(10 * 35)
  for (const wanted of [1000, 10_000]) {
    const many = cost(200_000, 200, wanted)
    expect(many.aside).toHaveLength(1000)
    expect(many.statements).toBeLessThan(1000 * 20)
    // Windows are read whole before the first row is changed.
    expect(many.scanned).toBeLessThan(6 * 200_000)
  }
})

test('without bad rows it is not in the way, and behind them it is out of the way again', () => {
  const bisection = new Bisection()
  expect([bisection.limit(5000), bisection.narrowed]).toEqual([5000, false])
  bisection.failed(5000)
  expect([bisection.limit(5000), bisection.narrowed]).toEqual([2500, true])
  bisection.failed(2)
  bisection.passed(1, 5000)
  expect(bisection.limit(5000)).toBe(1)
  bisection.passedOver()
  for (let windows = 0; windows < 20 && bisection.narrowed; windows += 1) bisection.passed(bisection.limit(5000), 5000)
  expect([bisection.limit(5000), bisection.narrowed]).toEqual([5000, false])
})

test('a window that came up short ends the suspicion: the row is gone', () => {
  const bisection = new Bisection()
  bisection.failed(8)
  bisection.passed(0, 100)
  expect(bisection.narrowed).toBe(false)
})
