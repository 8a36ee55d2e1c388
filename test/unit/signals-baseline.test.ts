import { array, assert, double, integer, property } from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Baseline } from '../../src/signals/baseline.ts'

/** Four looks a second, each of so many milliseconds, from a time on; gives the time after the last. */
function look(baseline: Baseline, from: number, seconds: number, ms: (at: number) => number): number {
  let at = from
  for (; at < from + seconds * 1000; at += 250) baseline.observe(at, ms(at), 1)
  return at
}

describe('the quiet of the probe', () => {
  test('is unknown before a second is over', () => {
    const baseline = new Baseline()
    expect(baseline.quiet(0)).toBeNull()
    expect(baseline.latency(0)).toBeNull()
    look(baseline, 0, 1, () => 3)
    expect(baseline.quiet(1000)).toBeNull()
    baseline.observe(1000, 3, 1)
    expect(baseline.quiet(1000)).toBe(3)
    expect(baseline.latency(1000)).toBe(3)
  })

  test('is the least second of ten minutes, and forgotten after them', () => {
    const baseline = new Baseline()
    let at = look(baseline, 0, 5, () => 1)
    at = look(baseline, at, 500, () => 4)
    expect(baseline.quiet(at)).toBe(1)
    at = look(baseline, at, 110, () => 4)
    expect(baseline.quiet(at)).toBe(4)
    at = look(baseline, at, 2, () => 2)
    expect(baseline.quiet(at)).toBe(2)
  })

  test('does not follow a load up, which a mean would', () => {
    const baseline = new Baseline()
    let at = look(baseline, 0, 60, () => 1)
    at = look(baseline, at, 500, (now) => 1 + now / 100_000)
    expect(baseline.quiet(at)).toBe(1)
    expect(baseline.latency(at)).toBeGreaterThan(6)
  })

  test('is not made by one lucky look, nor unmade by one slow one', () => {
    const baseline = new Baseline()
    const at = look(baseline, 0, 30, (now) => (now % 1000 === 0 ? 0.3 : now % 1000 === 250 ? 40 : 2))
    expect(baseline.quiet(at)).toBe(2)
    expect(baseline.latency(at)).toBe(2)
  })

  test('is never under a fifth of a millisecond', () => {
    const baseline = new Baseline()
    const at = look(baseline, 0, 5, () => 0.05)
    expect(baseline.quiet(at)).toBe(0.2)
  })

  test('now is the last three seconds, and a look that took long counts for those left out meanwhile', () => {
    const baseline = new Baseline()
    let at = look(baseline, 0, 10, () => 1)
    baseline.observe(at + 2000, 2000, 8)
    expect(baseline.latency(at + 2000)).toBe(2000)
    at = look(baseline, at + 2250, 4, () => 1)
    expect(baseline.latency(at)).toBe(1)
    expect(baseline.latency(at + 4000)).toBeNull()
  })

  test('is the least median of any second not forgotten, whatever came in which order', () => {
    assert(
      property(
        array(double({ min: 0.3, max: 50, noNaN: true }), { minLength: 8, maxLength: 200 }),
        integer({ min: 1, max: 5 }),
        (looks, perSecond) => {
          const baseline = new Baseline()
          const step = 1000 / perSecond
          for (const [index, ms] of looks.entries()) baseline.observe(index * step, ms, 1)
          const seconds: number[] = []
          for (let first = 0; first + perSecond < looks.length; first += perSecond) {
            const sorted = looks.slice(first, first + perSecond).sort((a, b) => a - b)
            const upper = sorted[Math.floor(perSecond / 2)] as number
            seconds.push(perSecond % 2 === 1 ? upper : (upper + (sorted[perSecond / 2 - 1] as number)) / 2)
          }
          expect(baseline.quiet(looks.length * step)).toBeCloseTo(Math.min(...seconds), 9)
        },
      ),
    )
  })
})
