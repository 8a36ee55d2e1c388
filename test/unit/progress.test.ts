import { assert, boolean, constantFrom, double, nat, property, record } from 'fast-check'
import { describe, expect, test } from 'vitest'
import { computeProgress, rateWindowSeconds, type Tally } from '../../src/core/run/progress.ts'
import { isEnded, runStatuses } from '../../src/core/run/status.ts'

/** Half way after a minute; 200 rows/s of late, and 100 rows/s on average. */
const halfWay: Tally = {
  status: 'running',
  held: false,
  rowsEstimated: 10_000,
  rowsScanned: 6000,
  rowsScannedAgain: 0,
  rowsAgain: 0,
  openSlices: 2,
  rowsDone: 4000,
  stragglers: 1000,
  quarantined: 2,
  rowsPassed: 6000,
  recentRows: 2000,
  rowsChecked: 0,
  recentChecked: 0,
  workedSeconds: 60,
  sinceSeconds: 60,
  throttledSeconds: 1.26,
}
const of = (change: Partial<Tally> = {}) => computeProgress({ ...halfWay, ...change })

describe('progress', () => {
  test('is what the windows have passed over and need not come back to, of the rows there are', () => {
    expect(of()).toEqual({
      rowsDone: 4000,
      rowsScanned: 6000,
      rowsTotal: 10_000,
      rowsTotalIsEstimate: true,
      ratio: 0.5,
      rowsPerSecond: 200,
      overallRowsPerSecond: 100,
      etaSeconds: 25,
      check: null,
      stragglers: 1000,
      quarantined: 2,
      throttledSeconds: 1.3,
    })
  })

  test('is 1 when the run has succeeded and at no other time', () => {
    const anyRate = double({ min: 0, max: 1e6, noNaN: true })
    const anyTally = record({
      status: constantFrom(...runStatuses),
      held: boolean(),
      rowsEstimated: nat(),
      rowsScanned: nat(),
      rowsScannedAgain: nat(100),
      rowsAgain: nat(100),
      openSlices: nat(2),
      rowsDone: nat(),
      stragglers: nat(),
      quarantined: nat(),
      rowsPassed: nat(),
      recentRows: anyRate,
      rowsChecked: nat(),
      recentChecked: anyRate,
      workedSeconds: anyRate,
      sinceSeconds: anyRate,
      throttledSeconds: anyRate,
    })
    assert(
      property(anyTally, (tally) => {
        const { ratio, etaSeconds, rowsTotal, check } = computeProgress(tally)
        expect(ratio).toBeGreaterThanOrEqual(0)
        expect(ratio === 1).toBe(tally.status === 'succeeded')
        expect(rowsTotal).toBeGreaterThanOrEqual(tally.rowsScanned)
        for (const eta of [etaSeconds, check?.etaSeconds ?? null]) if (eta !== null) expect(eta).toBeGreaterThan(0)
        expect(check !== null).toBe(tally.status === 'verifying')
        if (check) expect(check.ratio).toBeLessThan(1)
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
    expect(of({ rowsScanned: 25_000, stragglers: 0 })).toMatchObject({ rowsTotal: 25_000, ratio: 0.999 })
  })

  test('of a table smaller than its statistics has the right total as soon as all of it was passed over', () => {
    const passed = { rowsEstimated: 13_000, rowsScanned: 10_000, openSlices: 0, stragglers: 0 }
    for (const status of ['running', 'verifying', 'paused'] as const)
      expect(of({ ...passed, status })).toMatchObject({ rowsTotal: 10_000, rowsTotalIsEstimate: false, ratio: 0.999 })
  })

  test('of an empty table is 0 until it has succeeded, and never NaN', () => {
    const empty = { rowsEstimated: 0, rowsScanned: 0, stragglers: 0, rowsPassed: 0, recentRows: 0, openSlices: 0 }
    expect(of(empty).ratio).toBe(0)
    expect(of({ ...empty, status: 'succeeded', workedSeconds: 0 })).toMatchObject({
      ratio: 1,
      rowsTotal: 0,
      rowsPerSecond: 0,
    })
  })

  test('goes back where the check has sent rows back, and counts them', () => {
    const again = { rowsScanned: 10_000, rowsAgain: 5000, stragglers: 0 }
    expect(of(again)).toMatchObject({ rowsTotal: 15_000, ratio: 0.6666 })
    expect(of({ ...again, rowsScanned: 12_500, rowsScannedAgain: 2500 })).toMatchObject({
      rowsTotal: 15_000,
      ratio: 0.8333,
      etaSeconds: 13,
    })
  })
})

describe('the check', () => {
  const checking = { status: 'verifying', openSlices: 0, rowsScanned: 10_000, stragglers: 0 } as const

  test('has progress, rate and time left of its own', () => {
    expect(of({ ...checking, rowsChecked: 2500, recentChecked: 5000 })).toMatchObject({
      ratio: 0.999,
      check: { rowsChecked: 2500, rowsTotal: 10_000, ratio: 0.25, rowsPerSecond: 501, etaSeconds: 15 },
    })
  })

  test('does not count rows again that it has sent back before', () => {
    const again = { rowsScanned: 15_000, rowsScannedAgain: 5000, rowsAgain: 5000, rowsChecked: 5000 }
    expect(of({ ...checking, ...again }).check).toMatchObject({ rowsTotal: 10_000, ratio: 0.5 })
  })
})

describe('the rate', () => {
  /** Windows of so many rows at so many a second, faded as checkpoints fade them. */
  const steady = (perSecond: number, seconds: number, window: number) => {
    let recent = 0
    for (let at = 0; at < seconds; at += window / perSecond)
      recent = recent * Math.exp(-window / perSecond / rateWindowSeconds) + window
    return of({ recentRows: recent, sinceSeconds: seconds }).rowsPerSecond
  }

  test.for([3, 10, 60, 600])('of steady work is what a clock sees, after %i seconds', (seconds) => {
    for (const [perSecond, window] of [
      [100, 10],
      [60_000, 7500],
      [2000, 2000],
    ] as const) {
      const shown = steady(perSecond, seconds, window)
      expect(shown / perSecond).toBeGreaterThan(0.9)
      expect(shown / perSecond).toBeLessThan(1.2)
    }
  })

  test('of under ten a second has a digit behind the point', () => {
    expect(of({ recentRows: 5, sinceSeconds: 600 }).rowsPerSecond).toBe(0.5)
  })

  test.for(runStatuses.filter((status) => status !== 'running'))(
    'while %s is that of now, or the mean at the end',
    (status) => {
      expect(of({ status })).toMatchObject({
        etaSeconds: null,
        rowsPerSecond: isEnded(status) ? 100 : 0,
        overallRowsPerSecond: 100,
      })
    },
  )
})

describe('the time to go', () => {
  test('is null in the first seconds', () => {
    expect(of({ sinceSeconds: 2.9 }).etaSeconds).toBe(null)
    expect(of({ sinceSeconds: 3 }).etaSeconds).toBeGreaterThan(0)
  })

  test('is null while nothing moves', () => {
    expect(of({ recentRows: 0 }).etaSeconds).toBe(null)
    expect(of({ held: true })).toMatchObject({ etaSeconds: null, rowsPerSecond: 0, overallRowsPerSecond: 100 })
  })

  test('is told for a slow run as well', () => {
    expect(of({ recentRows: 5, sinceSeconds: 600 }).etaSeconds).toBe(10_000)
  })

  test('is null once the estimate of the table is passed', () => {
    expect(of({ rowsScanned: 10_000, stragglers: 0 }).etaSeconds).toBe(null)
    expect(of({ rowsScanned: 12_000, stragglers: 0 }).etaSeconds).toBe(null)
    expect(of({ rowsScanned: 9_999, stragglers: 0 }).etaSeconds).toBe(1)
  })
})
