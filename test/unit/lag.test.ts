import { array, assert, bigInt, double, integer, property, record } from 'fast-check'
import { describe, expect, test } from 'vitest'
import { LagTracker } from '../../src/core/throttle/lag-tracker.ts'
import { isNightly } from '../support/tier.ts'

/** Looks every so often at one that grows by so much between two of them. */
function watch(looks: number, everyMs: number, position: (look: number) => bigint): LagTracker {
  const tracker = new LagTracker()
  for (let look = 0; look <= looks; look += 1) tracker.observe(look * everyMs, position(look))
  return tracker
}

const minute = 60_000

describe('lag', () => {
  test('is not known before the first look', () => {
    expect(new LagTracker().lag(0n, 1000)).toBeNull()
  })

  test('of one that has everything is nothing, however long ago that was written', () => {
    const idle = watch(1200, 500, () => 7000n)
    expect(idle.lag(7000n, 10 * minute)).toEqual({ ms: 0, exact: true })
    expect(idle.lag(7001n, 10 * minute)).toEqual({ ms: 0, exact: true })
  })

  test('of one that stands still grows with the clock, and no further than it was left behind', () => {
    // Idle for a minute, then writing: it has missed nothing before that.
    const tracker = watch(240, 500, (look) => 5000n + BigInt(Math.max(0, look - 120)) * 1000n)
    const lag = tracker.lag(5000n, 2 * minute)
    expect(lag?.exact).toBe(true)
    expect(lag?.ms).toBeGreaterThanOrEqual(minute - 500)
    expect(lag?.ms).toBeLessThanOrEqual(minute + 500)
    expect(tracker.lag(5000n, 3 * minute)?.ms).toBe((lag?.ms ?? 0) + minute)
  })

  test('lies between two looks in proportion to what was written', () => {
    const tracker = watch(10, 1000, (look) => BigInt(look) * 1_000_000n)
    expect(tracker.lag(8_250_000n, 10_000)?.ms).toBeCloseTo(1750, 1)
  })

  test('in beats is counted from the beat that is missing', () => {
    const tracker = watch(10, 1000, (look) => BigInt(look))
    expect(tracker.lag(9n, 10_020)).toEqual({ ms: 20, exact: true })
    expect(tracker.lag(7n, 10_020)).toEqual({ ms: 2020, exact: true })
  })

  test('of one from before the first look is at least the time since', () => {
    const tracker = watch(10, 1000, (look) => 500n + BigInt(look))
    expect(tracker.lag(499n, 12_000)).toEqual({ ms: 12_000, exact: false })
  })

  test('is measured anew where the one that is followed has gone back', () => {
    const tracker = watch(10, 1000, (look) => BigInt(look) * 100n)
    tracker.observe(11_000, 450n)
    expect(tracker.lag(450n, 11_000)).toEqual({ ms: 0, exact: true })
    tracker.observe(12_000, 550n)
    expect(tracker.lag(450n, 12_000)?.ms).toBeCloseTo(990, 0)
    expect(tracker.lag(350n, 12_000)?.ms).toBeCloseTo(12_000 - 3510, 0)
  })

  test('is not changed by a look that comes after a later one', () => {
    const tracker = watch(10, 1000, (look) => BigInt(look) * 100n)
    const [size, before] = [tracker.size, tracker.lag(550n, 12_000)]
    tracker.observe(9000, 5000n)
    tracker.observe(10_000, 5000n)
    expect([tracker.size, tracker.lag(550n, 12_000)]).toEqual([size, before])
    expect(tracker.lag(1000n, 12_000)).toEqual({ ms: 0, exact: true })
  })

  test('of an hour and of a day takes a few hundred marks', () => {
    expect(watch(7200, 500, (look) => BigInt(look)).size).toBeLessThan(600)
    if (isNightly) expect(watch(172_800, 500, (look) => BigInt(look)).size).toBeLessThan(900)
  })

  const looks = array(
    record({ pause: integer({ min: 100, max: 5000 }), written: bigInt({ min: 0n, max: 1_000_000n }) }),
    { minLength: 2, maxLength: 400 },
  )

  test('is wrong by no more than the distance between two looks, or a fiftieth', () => {
    assert(
      property(looks, double({ min: 0, max: 1, noNaN: true }), (steps, share) => {
        const tracker = new LagTracker()
        const seen: { at: number; position: bigint }[] = []
        let at = 0
        let position = 1n
        for (const { pause, written } of steps) {
          tracker.observe(at, position)
          seen.push({ at, position })
          at += pause
          position += written
        }
        const last = seen.at(-1) as { at: number; position: bigint }
        const follower = 1n + BigInt(Math.floor(Number(last.position - 1n) * share))
        const lag = tracker.lag(follower, last.at)?.ms ?? Number.NaN
        // It was passed after the look before that, and at the latest at this one.
        const next = seen.findIndex((mark) => mark.position > follower)
        const least = next === -1 ? 0 : last.at - (seen[next]?.at ?? Number.NaN)
        const most = next === -1 ? 0 : last.at - (seen[next - 1]?.at ?? Number.NaN)
        expect(lag).toBeGreaterThanOrEqual(least * 0.98)
        expect(lag).toBeLessThanOrEqual(most * 1.02)
      }),
    )
  })

  test('never shrinks while the follower stands still, and never grows faster than the clock', () => {
    assert(
      property(looks, integer({ min: 0, max: 399 }), (steps, stop) => {
        const tracker = new LagTracker()
        let at = 0
        let position = 1n
        let follower: bigint | null = null
        let before: { at: number; ms: number } | null = null
        for (const [index, { pause, written }] of steps.entries()) {
          tracker.observe(at, position)
          if (index === stop) follower = position
          if (follower !== null) {
            const ms = tracker.lag(follower, at)?.ms ?? Number.NaN
            // Thinning moves a lag by a fiftieth of itself at most.
            if (before) expect(ms).toBeGreaterThanOrEqual(before.ms * 0.95)
            if (before && before.ms > 0) expect(ms).toBeLessThanOrEqual((before.ms + (at - before.at)) * 1.05)
            before = { at, ms }
          }
          at += pause
          position += written
        }
      }),
    )
  })
})
