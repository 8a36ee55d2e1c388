import { setTimeout as pause } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { every } from '../../src/util/every.ts'
import { until } from '../support/until.ts'

test('a loop that is slower than its interval leaves times out, and is never at it twice', async () => {
  let [atIt, most, times] = [0, 0, 0]
  const loop = every(30, async () => {
    atIt += 1
    most = Math.max(most, atIt)
    await pause(100)
    atIt -= 1
    times += 1
  })
  const began = performance.now()
  await until('five times', () => times >= 5)
  const passed = performance.now() - began
  await loop.stop()
  expect(most).toBe(1)
  // A time is 100 ms, and the next multiple of 30 after it.
  expect(passed).toBeGreaterThanOrEqual(4 * 119 + 99)
  const ended = times
  await pause(100)
  expect(times).toBe(ended)
})

test('a loop begins at once, and is stopped only when the time under way is over', async () => {
  let over = false
  const loop = every(10_000, async () => {
    await pause(50)
    over = true
  })
  const stopped = loop.stop()
  expect(over).toBe(false)
  await stopped
  expect(over).toBe(true)
  await loop.first
})
