import { assert, constantFrom, double, nat, property, record } from 'fast-check'
import { describe, expect, test } from 'vitest'
import { progressOf, type Tally } from '../../src/core/progress.ts'
import { runStatuses } from '../../src/core/run.ts'

/** Half way for a minute already, at 200 rows/s where it may work and at 100 rows/s with the time it was held back. */
const halfWay: Tally = {
  status: 'running',
  rowsTotal: 10_000,
  rowsScanned: 5000,
  rowsDone: 4000,
  stragglers: 3,
  quarantined: 2,
  rowsPerSecond: 200,
  overallRowsPerSecond: 100,
  workedSeconds: 60,
  throttledSeconds: 1.26,
}
const of = (change: Partial<Tally> = {}) => progressOf({ ...halfWay, ...change })

describe('progress', () => {
  test('is what the windows have passed over, of the rows there are', () => {
    expect(of()).toEqual({
      rowsDone: 4000,
      rowsScanned: 5000,
      rowsTotal: 10_000,
      ratio: 0.5,
      rowsPerSecond: 200,
      overallRowsPerSecond: 100,
      etaSeconds: 50,
      stragglers: 3,
      quarantined: 2,
      throttledSeconds: 1.3,
    })
  })

  test('is 1 when the run has succeeded and at no other time', () => {
    const anyTally = record({
      status: constantFrom(...runStatuses),
      rowsTotal: nat(),
      rowsScanned: nat(),
      rowsDone: nat(),
      stragglers: nat(),
      quarantined: nat(),
      rowsPerSecond: double({ min: 0, max: 1e6, noNaN: true }),
      overallRowsPerSecond: double({ min: 0, max: 1e6, noNaN: true }),
      workedSeconds: double({ min: 0, max: 1e6, noNaN: true }),
      throttledSeconds: double({ min: 0, max: 1e6, noNaN: true }),
    })
    assert(
      property(anyTally, (tally) => {
        const { ratio, etaSeconds, rowsTotal } = progressOf(tally)
        expect(ratio).toBeGreaterThanOrEqual(0)
        expect(ratio === 1).toBe(tally.status === 'succeeded')
        expect(rowsTotal).toBeGreaterThanOrEqual(tally.status === 'succeeded' ? 0 : tally.rowsScanned)
        if (etaSeconds !== null) expect(etaSeconds).toBeGreaterThan(0)
      }),
    )
  })

  test('never goes back while windows pass', () => {
    assert(
      property(nat(20_000), nat(20_000), (one, two) => {
        const [less, more] = one < two ? [one, two] : [two, one]
        expect(of({ rowsScanned: less }).ratio).toBeLessThanOrEqual(of({ rowsScanned: more }).ratio)
      }),
    )
  })

  test('of a table larger than its statistics stays under 1 and corrects the total', () => {
    expect(of({ rowsScanned: 25_000 })).toMatchObject({ rowsTotal: 25_000, ratio: 0.999 })
  })

  test('of an empty table is 0 until it has succeeded, and never NaN', () => {
    expect(of({ rowsTotal: 0, rowsScanned: 0 }).ratio).toBe(0)
    expect(of({ status: 'succeeded', rowsTotal: 0, rowsScanned: 0 })).toMatchObject({ ratio: 1, rowsTotal: 0 })
  })

  test('at the end has as many rows in all as were passed, whatever the statistics said', () => {
    expect(of({ status: 'succeeded', rowsScanned: 9876 }).rowsTotal).toBe(9876)
  })
})

describe('the time to go', () => {
  test.for(runStatuses.filter((status) => status !== 'running'))('is null while %s, and the rates are 0', (status) => {
    expect(of({ status })).toMatchObject({ etaSeconds: null, rowsPerSecond: 0, overallRowsPerSecond: 0 })
  })

  test('is null in the first seconds', () => {
    expect(of({ workedSeconds: 2.9 }).etaSeconds).toBe(null)
    expect(of({ workedSeconds: 3 }).etaSeconds).toBe(50)
  })

  test('counts the time that pace holds it back as well', () => {
    expect(of({ rowsPerSecond: 1000 }).etaSeconds).toBe(50)
    expect(of({ overallRowsPerSecond: 50 }).etaSeconds).toBe(100)
  })

  test('is null while nothing moves', () => {
    expect(of({ overallRowsPerSecond: 0 }).etaSeconds).toBe(null)
    expect(of({ overallRowsPerSecond: 0.9 }).etaSeconds).toBe(null)
  })

  test('is null once the estimate of the table is passed', () => {
    expect(of({ rowsScanned: 10_000 }).etaSeconds).toBe(null)
    expect(of({ rowsScanned: 12_000 }).etaSeconds).toBe(null)
    expect(of({ rowsScanned: 9_999 }).etaSeconds).toBe(1)
  })
})
