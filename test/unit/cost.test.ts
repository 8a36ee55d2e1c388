import { describe, expect, test } from 'vitest'
import { defaultRunOptions, mergeOptions } from '../../src/core/job/options.ts'
import {
  batchesOf,
  fitCost,
  fixedCostFinding,
  raiseCost,
  secondsOf,
  settledSize,
} from '../../src/core/throttle/batch-cost.ts'

/** A batch as one that costs so much would be timed. */
const timed = (
  scanned: number,
  changed: number,
  [perBatch, perScanned, perChanged]: readonly [number, number, number],
) => ({
  scanned,
  changed,
  seconds: perBatch + scanned * perScanned + changed * perChanged,
})

describe('what a batch costs', () => {
  test.for([
    ['nothing but its rows', [0, 1e-6, 2e-5]],
    ['mostly itself', [0.3, 1e-6, 2e-5]],
    ['mostly the rows that it passes over', [0.001, 1e-3, 2e-5]],
  ] as const)('is told from two batches where it is %s', ([, costs]) => {
    const passed = { small: timed(1, 0, costs), large: timed(800, 0, costs) }
    const cost = fitCost({ small: timed(1, 1, costs), large: timed(1000, 300, costs) }, passed)
    expect(cost.perBatch).toBeCloseTo(costs[0], 6)
    expect(cost.perScanned).toBeCloseTo(costs[1], 9)
    expect(cost.perChanged).toBeCloseTo(costs[2], 9)
  })

  test('is raised to what other batches have taken', () => {
    const cost = { perBatch: 0.01, perScanned: 1e-5, perChanged: 1e-4 }
    expect(raiseCost(cost, 2, { scanned: 2000, changed: 1000, seconds: 0.1 })).toEqual(cost)
    const raised = raiseCost(cost, 2, { scanned: 2000, changed: 1000, seconds: 0.26 })
    expect(raised.perBatch).toBe(0.01)
    expect(raised.perScanned).toBeCloseTo(2e-5, 9)
    expect(raised.perChanged).toBeCloseTo(2e-4, 9)
    const none = { perBatch: 0, perScanned: 0, perChanged: 0 }
    expect(raiseCost(none, 1, { scanned: 10, changed: 2, seconds: 1 })).toEqual({ ...none, perChanged: 0.5 })
    expect(raiseCost(none, 1, { scanned: 10, changed: 0, seconds: 1 })).toEqual({ ...none, perScanned: 0.1 })
    // Ten rows in ten batches: what they took is what batches take.
    expect(raiseCost(cost, 10, { scanned: 10, changed: 10, seconds: 0.9 })).toEqual(cost)
  })

  test('is never less than nothing', () => {
    const [small, large] = [
      { scanned: 1, changed: 1, seconds: 0.2 },
      { scanned: 9, changed: 9, seconds: 0.1 },
    ]
    expect(fitCost({ small, large }, null)).toEqual({ perBatch: 0.2, perScanned: 0, perChanged: 0 })
    expect(fitCost({ small, large: small }, null)).toEqual({ perBatch: 0.2, perScanned: 0, perChanged: 0 })
  })

  test('sets the size that batches settle at, and the time that all of them take', () => {
    const work = { rows: 200_000, toChange: 200_000 }
    const dear = { perBatch: 0.3, perScanned: 0, perChanged: 1e-5 }
    expect(settledSize(dear, work, defaultRunOptions)).toBe(50)
    expect(batchesOf(work, 50)).toBe(4000)
    expect(secondsOf(dear, work, 50)).toBeCloseTo(1202)
    const usual = { ...dear, perBatch: 0.001 }
    expect(settledSize(usual, work, defaultRunOptions)).toBe(10_000)
    expect(settledSize(usual, work, mergeOptions(defaultRunOptions, { batchSize: 70 }))).toBe(70)
    expect(settledSize({ ...usual, perChanged: 0 }, work, defaultRunOptions)).toBe(10_000)
    expect(secondsOf(usual, { rows: 0, toChange: 0 }, 50)).toBe(0)
    expect(secondsOf(usual, work, 10_000)).toBeCloseTo(2.02)
    // Few rows change: it is the passing over that counts, twice with the check.
    expect(secondsOf({ perBatch: 0, perScanned: 1e-5, perChanged: 1 }, { rows: 100_000, toChange: 3 }, 50)).toBeCloseTo(
      5,
    )
  })
})

describe('that it costs much before the first row', () => {
  const work = { rows: 200_000, toChange: 200_000 }
  const found = (perBatch: number, perChanged = 1e-5, options = {}) =>
    fixedCostFinding({ perBatch, perScanned: 0, perChanged }, work, mergeOptions(defaultRunOptions, options), {
      computed: ['public.banned'],
      values: 1,
    })

  test('is told, with what computes it and how large batches would have to be', () => {
    expect(found(0.3)).toBe(
      'Each batch costs about 0.3 s before its first row: a subquery reads public.banned again for each batch. In batches of 50 rows that is 20 min of 20 min in all. Use larger batches: "options": {"batchSize": 100000, "targetBatchSeconds": 2}; or put what does not depend on the row into a column or an indexed table first.',
    )
  })

  test('is told with each cause that there is: what is computed anew, and values that are sent with each batch', () => {
    const told = (computed: string[], values: number) =>
      fixedCostFinding({ perBatch: 0.3, perScanned: 0, perChanged: 1e-5 }, work, defaultRunOptions, {
        computed,
        values,
      })
    expect(told([], 1)).not.toMatch(/subquery|values/)
    expect(told([], 5000)).toContain('5,000 values')
    expect(told(['public.a', 'public.b'], 5000)).toMatch(/public\.a and public\.b .*5,000 values/)
  })

  test('is told without larger batches where they are as large as can be', () => {
    const said = found(3, 1e-5, { batchSize: 100_000, targetBatchSeconds: 5 })
    expect(said).toContain('3 s')
    expect(said).not.toContain('batchSize')
  })

  test('is told of rows that cost nothing, in the largest batches that there are', () => {
    expect(found(0.3, 0, { batchSize: 70 })).toContain('"batchSize": 100000')
  })

  test('is no more told once its advice is followed', () => {
    expect(found(0.3, 1e-5, { batchSize: 100_000, targetBatchSeconds: 2 })).toBeNull()
    expect(found(0.3, 1e-3, { batchSize: 2000, targetBatchSeconds: 2 })).toBeNull()
  })

  test('is not told of what is usual', () => {
    expect(found(0.002)).toBeNull()
    expect(found(0.1, 1e-4)).toBeNull()
  })
})
