import { expect, test } from 'vitest'
import { Streak } from '../../src/core/range/streak.ts'

/** After how many rows that fail alike there is a verdict. */
function rowsUntilVerdict(streak: Streak, waited = false): number {
  for (let rows = 1; rows < 1000; rows += 1) {
    streak.failed('error', 'name', waited)
    if (streak.verdict !== null) return rows
  }
  return Number.POSITIVE_INFINITY
}

test('five rows in a row that fail with one error are not at fault; of rows that wait for locks there are more', () => {
  expect(rowsUntilVerdict(new Streak(0))).toBe(5)
  expect(rowsUntilVerdict(new Streak(0), true)).toBe(64)
})

test('a row that passes, and another error, begin anew', () => {
  const streak = new Streak(0)
  for (let row = 0; row < 4; row += 1) streak.failed('error', 'name', false)
  streak.passed()
  expect([streak.length, streak.verdict]).toEqual([0, null])
  for (let row = 0; row < 4; row += 1) streak.failed('error', 'name', false)
  streak.failed('error', 'another', false)
  expect([streak.length, streak.verdict]).toEqual([1, null])
})

test('after waits in vain a few rows are tried, more with each wait, and as usual once a row has passed', () => {
  expect([1, 2, 16, 1000].map((attempts) => rowsUntilVerdict(new Streak(attempts)))).toEqual([1, 2, 16, 16])
  expect(rowsUntilVerdict(new Streak(1), true)).toBe(8)
  const streak = new Streak(3)
  streak.passed()
  expect(rowsUntilVerdict(streak)).toBe(5)
})
