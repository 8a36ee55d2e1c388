import { array, assert, boolean, double, integer, property, record } from 'fast-check'
import { describe, expect, test } from 'vitest'
import { defaultRunOptions, type RunOptions } from '../../src/core/job/options.ts'
import {
  type BatchOutcome,
  BatchSizer,
  batchSizeBounds,
  DutyCycle,
  targetBatchSeconds,
} from '../../src/core/throttle/batch-sizer.ts'
import { dice } from '../support/replica-model.ts'

const options: RunOptions = { ...defaultRunOptions, batchSize: { min: 10, max: 10_000 } }
const target = 0.02

const anyOutcome = record({
  scanned: integer({ min: 0, max: 10_000 }),
  share: double({ min: 0, max: 1, noNaN: true }),
  seconds: double({ min: 0, max: 30, noNaN: true }),
}).map(({ share, ...rest }) => ({ ...rest, done: Math.floor(rest.scanned * share) }))

/** A sizer and a table whose rows cost the same each: the size after so many batches. */
function settle(sizer: BatchSizer, secondsPerRow: number, batches: number, fixed = 0): number {
  for (let batch = 0; batch < batches; batch += 1) {
    const rows = sizer.next(options)
    sizer.observe({ scanned: rows, done: rows, seconds: fixed + rows * secondsPerRow }, options, target)
  }
  return sizer.next(options)
}

function full(rows: number, seconds: number): BatchOutcome {
  return { scanned: rows, done: rows, seconds }
}

describe('the size of a batch', () => {
  test('begins at the least that is allowed, or where the range left off', () => {
    expect(new BatchSizer(options).next(options)).toBe(10)
    expect(new BatchSizer(options, 700).next(options)).toBe(700)
    expect(new BatchSizer(options, 99_999).next(options)).toBe(10_000)
  })

  test('stays within its bounds and is a whole number, whatever happens', () => {
    assert(
      property(array(anyOutcome, { maxLength: 60 }), (outcomes) => {
        const sizer = new BatchSizer(options)
        for (const outcome of outcomes) {
          sizer.observe(outcome, options, target)
          const size = sizer.next(options)
          expect(Number.isInteger(size)).toBe(true)
          expect(size).toBeGreaterThanOrEqual(10)
          expect(size).toBeLessThanOrEqual(10_000)
        }
      }),
    )
  })

  test('never grows by more than 1.3 a step', () => {
    assert(
      property(integer({ min: 10, max: 10_000 }), array(anyOutcome, { maxLength: 40 }), (first, outcomes) => {
        const sizer = new BatchSizer(options, first)
        let before = sizer.next(options)
        for (const outcome of outcomes) {
          sizer.observe(outcome, options, target)
          const after = sizer.next(options)
          // Sizes are rounded: half a row on either side.
          expect(after).toBeLessThanOrEqual((before + 0.5) * 1.3 + 0.5)
          before = after
        }
      }),
    )
  })

  test.for([0.00001, 0.00005, 0.0003])('converges to the target when each row costs %d s', (cost) => {
    const ideal = target / cost
    expect(settle(new BatchSizer(options), cost, 60)).toBeCloseTo(ideal, -1)
    expect(settle(new BatchSizer(options, 10_000), cost, 60)).toBeCloseTo(ideal, -1)
  })

  test('brings the time of a batch to the target also where a batch has a cost of its own', () => {
    const rows = settle(new BatchSizer(options), 0.00005, 200, 0.002)
    expect(0.002 + rows * 0.00005).toBeGreaterThan(target * 0.8)
    expect(0.002 + rows * 0.00005).toBeLessThanOrEqual(target * 1.2)
  })

  test('comes down at once when rows become dear', () => {
    const sizer = new BatchSizer(options, 1000)
    settle(sizer, 0.00002, 20)
    const rows = sizer.next(options)
    sizer.observe(full(rows, 0.06), options, target)
    sizer.observe(full(rows, 0.06), options, target)
    expect(sizer.next(options)).toBeLessThan(rows / 2)
  })

  test('falls to a tenth when a batch takes over five times the target, and only then', () => {
    const sizer = new BatchSizer(options, 5000)
    sizer.observe(full(5000, 0.11), options, target)
    expect(sizer.next(options)).toBe(500)
    const calm = new BatchSizer(options, 5000)
    calm.observe(full(5000, 0.1), options, target)
    expect(calm.next(options)).toBe(1000)
  })

  test('falls to a tenth also when the slow batch had nothing to do', () => {
    const sizer = new BatchSizer(options, 5000)
    sizer.observe({ scanned: 0, done: 0, seconds: 1 }, options, target)
    expect(sizer.next(options)).toBe(500)
  })

  test('never grows on a sparse stretch: it says nothing about the dense one behind it', () => {
    assert(
      property(array(anyOutcome, { maxLength: 60 }), (outcomes) => {
        const sizer = new BatchSizer(options, 100)
        for (const { scanned, done, seconds } of outcomes) {
          const before = sizer.next(options)
          sizer.observe({ scanned, done: Math.min(done, Math.ceil(scanned / 2) - 1), seconds }, options, target)
          expect(sizer.next(options)).toBeLessThanOrEqual(before)
        }
      }),
    )
  })

  test('grows on a stretch of which half was done', () => {
    const sizer = new BatchSizer(options, 100)
    sizer.observe({ scanned: 100, done: 50, seconds: 0.001 }, options, target)
    expect(sizer.next(options)).toBe(130)
  })

  test('does not change on an empty batch that was quick', () => {
    const sizer = new BatchSizer(options, 100)
    sizer.observe({ scanned: 0, done: 0, seconds: 0 }, options, target)
    expect(sizer.next(options)).toBe(100)
  })

  test('one outlier among ten batches does not set it', () => {
    const sizer = new BatchSizer(options, 400)
    settle(sizer, 0.00005, 20)
    const rows = sizer.next(options)
    sizer.observe(full(rows, 0.09), options, target)
    expect(sizer.next(options)).toBeGreaterThan(rows * 0.95)
  })

  test('halves when a batch is turned away, down to one row: a window that never passes is worse than a small one', () => {
    const sizer = new BatchSizer(options, 100)
    const sizes = Array.from({ length: 8 }, () => {
      sizer.shrink()
      return sizer.next(options)
    })
    expect(sizes).toEqual([50, 25, 13, 6, 3, 2, 1, 1])
  })

  test('comes back step by step once its batches pass again, and then keeps its bounds', () => {
    assert(
      property(integer({ min: 1, max: 12 }), array(anyOutcome, { maxLength: 60 }), (times, outcomes) => {
        const sizer = new BatchSizer(options, 100)
        for (let time = 0; time < times; time += 1) sizer.shrink()
        let back = false
        for (const outcome of outcomes) {
          const before = sizer.next(options)
          sizer.observe(outcome, options, target)
          const after = sizer.next(options)
          expect(after).toBeGreaterThanOrEqual(back ? 10 : 1)
          expect(after).toBeLessThanOrEqual((before + 0.5) * 1.3 + 0.5)
          back ||= after > 10 && outcome.scanned > 0
        }
      }),
    )
  })

  test('is what the options say when they fix it', () => {
    const fixed = { ...options, batchSize: 333 }
    const sizer = new BatchSizer(fixed, 500)
    expect(sizer.next(fixed)).toBe(333)
    sizer.observe(full(333, 10), fixed, target)
    expect(sizer.next(fixed)).toBe(333)
  })

  test('halves even when the options fix it, and comes back to what they say', () => {
    const fixed = { ...options, batchSize: 333 }
    const sizer = new BatchSizer(fixed)
    sizer.shrink()
    expect(sizer.next(fixed)).toBe(167)
    for (let batch = 0; batch < 4; batch += 1) sizer.observe(full(sizer.next(fixed), 0.001), fixed, target)
    expect(sizer.next(fixed)).toBe(333)
  })

  test('a bound that was raised since the range left off holds at once', () => {
    const fixed = { ...options, batchSize: 333 }
    expect(new BatchSizer(fixed, 50).next(fixed)).toBe(333)
    expect(new BatchSizer(options, 3).next(options)).toBe(10)
  })

  test('what was turned away when the range left off is come back to step by step, on a sparse stretch too', () => {
    const fixed = { ...options, batchSize: 333 }
    const sizer = new BatchSizer(fixed, 50, true)
    expect([sizer.next(fixed), sizer.turnedAway]).toEqual([50, true])
    for (let batch = 0; batch < 50; batch += 1) {
      sizer.observe({ scanned: sizer.next(fixed), done: 0, seconds: 0.001 }, fixed, target)
    }
    expect([sizer.next(fixed), sizer.turnedAway]).toEqual([333, false])
  })

  test('follows options that change while it runs', () => {
    const sizer = new BatchSizer(options, 5000)
    expect(sizer.next({ ...options, batchSize: { min: 1, max: 200 } })).toBe(200)
    expect(sizer.next({ ...options, batchSize: 7 })).toBe(7)
    expect(sizer.next({ ...options, batchSize: { min: 50, max: 60 } })).toBe(50)
  })

  test('has the bounds of the options', () => {
    expect(batchSizeBounds({ ...options, batchSize: 5 })).toEqual({ min: 5, max: 5 })
    expect(batchSizeBounds(options)).toEqual({ min: 10, max: 10_000 })
  })
})

describe('the time that a batch should take', () => {
  test('is what the options fix, whatever the pace of the database', () => {
    expect(targetBatchSeconds({ ...options, targetBatchSeconds: 0.5 }, 0.001)).toBe(0.5)
  })

  test('is that of the pace, within the bounds of the options', () => {
    const bounded = { ...options, targetBatchSeconds: { min: 0.005, max: 0.1 } }
    expect(targetBatchSeconds(bounded, 0.02)).toBe(0.02)
    expect(targetBatchSeconds(bounded, 0.001)).toBe(0.005)
    expect(targetBatchSeconds(bounded, 0.3)).toBe(0.1)
  })
})

describe('a share of the time', () => {
  /** A worker that does batches and waits as it is told, by timers of whole milliseconds that are late. */
  function work(seed: number, share: number, seconds: (random: number) => number, roundUp: boolean): number {
    const random = dice(seed)
    const duty = new DutyCycle()
    const round = roundUp ? Math.ceil : Math.floor
    let [busy, idle] = [0, 0]
    while (busy + idle < 60 || busy < 1) {
      const batch = seconds(random())
      busy += batch
      duty.worked(batch)
      const wait = duty.wait(share)
      if (wait === 0) continue
      const rested = round(wait * 1000) / 1000 + random() * 0.0012
      duty.rested(rested, share)
      idle += rested
    }
    return busy / (busy + idle)
  }

  test('is kept on average, within 2 %, by timers that are late and know whole milliseconds only', () => {
    assert(
      property(
        integer(),
        double({ min: 0.02, max: 1, noNaN: true }),
        double({ min: 0.0005, max: 0.05, noNaN: true }),
        boolean(),
        (seed, share, longest, roundUp) => {
          const kept = work(seed, share, (random) => longest * (0.2 + 0.8 * random), roundUp)
          expect(kept / share).toBeGreaterThan(0.98)
          expect(kept / share).toBeLessThan(1.02)
        },
      ),
      { numRuns: 40 },
    )
  })

  const owedAfter = (duty: DutyCycle, seconds: number, share: number) => {
    duty.worked(seconds)
    return duty.wait(share)
  }

  test('that is all of it is no waiting at all, whatever was owed', () => {
    const duty = new DutyCycle()
    for (const seconds of [0.001, 0.3, 5]) expect(owedAfter(duty, seconds, 1)).toBe(0)
    duty.rested(0, 1)
    expect(duty.wait(0.1)).toBe(0)
  })

  test('of a quarter is three times as much waiting as work', () => {
    expect(owedAfter(new DutyCycle(), 0.1, 0.25)).toBeCloseTo(0.3)
  })

  test('owes what is too short for a timer until it is worth one', () => {
    const duty = new DutyCycle()
    expect([1, 2, 3, 4].map(() => owedAfter(duty, 0.0006, 0.5))).toEqual([0, 0, 0, expect.closeTo(0.0024)])
  })

  test('that changes while it waits changes how long it waits: what is owed is work, and not time', () => {
    const duty = new DutyCycle()
    expect(owedAfter(duty, 10, 0.1)).toBeCloseTo(90)
    duty.rested(9, 0.1)
    expect(duty.wait(0.1)).toBeCloseTo(81)
    expect(duty.wait(0.9)).toBeCloseTo(1)
  })

  test('is owed for work of any length, to the last second of it', () => {
    assert(
      property(
        double({ min: 0.01, max: 0.9, noNaN: true }),
        double({ min: 0.1, max: 60, noNaN: true }),
        (share, batch) => {
          const duty = new DutyCycle()
          duty.worked(batch)
          let rested = 0
          for (let wait = duty.wait(share); wait > 0; wait = duty.wait(share)) {
            const step = Math.min(wait, batch)
            duty.rested(step, share)
            rested += step
          }
          expect(batch / (batch + rested)).toBeCloseTo(share, 2)
        },
      ),
    )
  })

  test('is not made up for after a long rest, but for a twentieth of a second', () => {
    assert(
      property(
        double({ min: 0, max: 1e5, noNaN: true }),
        double({ min: 0.05, max: 0.9, noNaN: true }),
        double({ min: 0.0005, max: 0.02, noNaN: true }),
        (rested, share, batch) => {
          const duty = new DutyCycle()
          duty.rested(rested, share)
          let owed = batch * (1 / share - 1)
          while (owedAfter(duty, batch, share) === 0 && owed < 1) owed += batch * (1 / share - 1)
          // What it did at a stretch is worth the credit, the least wait and a batch at most.
          expect(owed).toBeLessThanOrEqual(0.05 + 0.002 + batch * (1 / share - 1) + 1e-9)
        },
      ),
    )
  })

  test('of a twentieth leaves the size of batches alone: what they take is counted without the waiting', () => {
    const sizer = new BatchSizer(options, 100)
    const duty = new DutyCycle()
    let waited = 0
    for (let batch = 0; batch < 60; batch += 1) {
      const rows = sizer.next(options)
      const seconds = 0.0005 + rows * 0.00001
      sizer.observe(full(rows, seconds), options, target)
      duty.worked(seconds)
      const wait = duty.wait(0.05)
      duty.rested(wait, 0.05)
      waited += wait
    }
    expect(waited).toBeGreaterThan(10)
    expect(0.0005 + sizer.next(options) * 0.00001).toBeCloseTo(target, 3)
  })
})

describe('a sparse stretch with dense clumps in it', () => {
  const [own, perRow, perDone] = [0.0005, 0.000001, 0.00002]

  /** Of the rows three in ten match, in clumps of so many. */
  function longest(seed: number, clump: number, goal: number): number {
    const random = dice(seed)
    const sizer = new BatchSizer({ ...options, batchSize: { min: 50, max: 10_000 } })
    let [row, dense, left, slowest] = [0, false, 0, 0]
    for (let batch = 0; batch < 3000; batch += 1) {
      const scanned = sizer.next(options)
      let done = 0
      for (let passed = 0; passed < scanned; ) {
        if (left === 0) {
          dense = !dense
          left = Math.ceil(clump * (dense ? 0.3 : 0.7) * (0.5 + random()))
        }
        const rows = Math.min(left, scanned - passed)
        left -= rows
        passed += rows
        if (dense) done += rows
      }
      row += scanned
      const seconds = own + scanned * perRow + done * perDone
      slowest = Math.max(slowest, seconds)
      sizer.observe({ scanned, done, seconds }, options, goal)
    }
    expect(row).toBeGreaterThan(100_000)
    return slowest
  }

  test('never makes a batch of over five times the target, whatever the clumps', () => {
    assert(
      property(integer(), integer({ min: 10, max: 1_000_000 }), (seed, clump) => {
        expect(longest(seed, clump, target)).toBeLessThan(5 * target)
      }),
      { numRuns: 60 },
    )
  })
})
