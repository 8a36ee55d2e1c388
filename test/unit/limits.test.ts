import { array, assert, boolean, constantFrom, dictionary, double, oneof, property, record } from 'fast-check'
import { describe, expect, test } from 'vitest'
import { getDeadRowLimit, getLimit, isPaced, strictestLimit } from '../../src/core/throttle/limits.ts'
import { signalNames, signalSpecs } from '../../src/core/throttle/signal.ts'

const lags = ['replica-lag', 'heartbeat'] as const
const others = signalNames.filter((name) => !lags.some((lag) => lag === name))

const own = double({ min: 0.001, max: 1e12, noNaN: true })
const anyOptions = record({
  maxLagSeconds: double({ min: 0.01, max: 86_400, noNaN: true }),
  signals: dictionary(constantFrom(...others), oneof(boolean(), own)).chain((rest) =>
    dictionary(constantFrom(...lags), boolean()).map((two) => ({ ...rest, ...two })),
  ),
})
const plain = { maxLagSeconds: 5, signals: {} }

describe('the limits of a signal', () => {
  test('are its own where nothing is said, or only that it counts', () => {
    for (const name of signalNames) {
      const { soft, hard } = signalSpecs[name]
      expect(getLimit(name, plain), name).toEqual({ soft, hard })
      expect(getLimit(name, { ...plain, signals: { [name]: true } }), name).toEqual({ soft, hard })
    }
  })

  test('are none where it is said not to count', () => {
    for (const name of signalNames) expect(getLimit(name, { ...plain, signals: { [name]: false } }), name).toBeNull()
  })

  test('of what is measured in lag are those of maxLagSeconds: from two fifths on it slows', () => {
    for (const name of lags) {
      const limit = getLimit(name, { ...plain, maxLagSeconds: 30 })
      expect(limit?.hard).toBe(30)
      expect(limit?.soft).toBeCloseTo(12)
    }
  })

  test('of any other are not touched by maxLagSeconds', () => {
    for (const name of others) expect(getLimit(name, { ...plain, maxLagSeconds: 1 })).toEqual(getLimit(name, plain))
  })

  test('that a run has of its own are hard, and the soft one keeps its distance', () => {
    expect(getLimit('slots', { ...plain, signals: { slots: 4 * 1024 ** 3 } })).toEqual({
      soft: 1024 ** 3,
      hard: 4 * 1024 ** 3,
    })
    expect(getLimit('replicas-missing', { ...plain, signals: { 'replicas-missing': 60 } })?.soft).toBeCloseTo(0.004)
  })

  test('that a run gives to a signal without a hard one hold it from then on', () => {
    expect(getLimit('commit-latency', { ...plain, signals: { 'commit-latency': 10 } })).toEqual({ soft: 4, hard: 10 })
  })

  test('of dead tuples are a part of the table below 1, and a number of rows above', () => {
    const limited = (limit: number) => ({ ...plain, signals: { 'dead-tuples': limit } })
    expect(getLimit('dead-tuples', limited(0.2))).toEqual({ soft: expect.closeTo(0.08), hard: 0.2 })
    expect(getLimit('dead-tuples', limited(100_000))).toEqual({ soft: 0.5, hard: null, rows: 100_000 })
    expect(getDeadRowLimit(limited(0.2))).toEqual({ part: 0.2 })
    expect(getDeadRowLimit(limited(100_000))).toEqual({ rows: 100_000 })
    for (const signals of [{}, { 'dead-tuples': true }, { 'dead-tuples': false }])
      expect(getDeadRowLimit({ ...plain, signals })).toBeNull()
  })

  test('are in order, whatever is said', () => {
    assert(
      property(constantFrom(...signalNames), anyOptions, (name, options) => {
        const limit = getLimit(name, options)
        if (!limit) return
        expect(limit.soft).toBeGreaterThan(0)
        if (limit.hard !== null) expect(limit.soft).toBeLessThan(limit.hard)
      }),
    )
  })

  test('that are raised never fall, neither of the two', () => {
    const inOneUnit = others.filter((name) => name !== 'dead-tuples')
    assert(
      property(constantFrom(...inOneUnit), own, own, (name, one, two) => {
        const [low, high] = [Math.min(one, two), Math.max(one, two)].map((limit) =>
          getLimit(name, { ...plain, signals: { [name]: limit } }),
        )
        expect(low?.soft).toBeLessThanOrEqual(high?.soft ?? 0)
        expect(low?.hard).toBeLessThanOrEqual(high?.hard ?? 0)
      }),
    )
  })
})

describe('the strictest limits of several runs', () => {
  test('are none where it counts for none of them', () => {
    expect(strictestLimit('blocked', [])).toBeNull()
    expect(strictestLimit('blocked', [{ ...plain, signals: { blocked: false } }])).toBeNull()
  })

  test('leave out a run for which it does not count', () => {
    const runs = [
      { ...plain, signals: { blocked: false } },
      { ...plain, signals: { blocked: 30 } },
    ]
    expect(strictestLimit('blocked', runs)).toEqual({ soft: 10, hard: 30 })
  })

  test('hold where one of them is to be held, if the others are not', () => {
    expect(strictestLimit('commit-latency', [plain, { ...plain, signals: { 'commit-latency': 9 } }])).toEqual({
      soft: 1.5,
      hard: 9,
    })
  })

  test('are each of one of the runs, and satisfy every one', () => {
    assert(
      property(constantFrom(...signalNames), array(anyOptions, { minLength: 1, maxLength: 5 }), (name, runs) => {
        const limits = runs.flatMap((options) => getLimit(name, options) ?? [])
        const strictest = strictestLimit(name, runs)
        expect(strictest === null).toBe(limits.length === 0)
        if (!strictest) return
        expect(limits.map(({ soft }) => soft)).toContain(strictest.soft)
        expect(limits.map(({ hard }) => hard)).toContain(strictest.hard)
        for (const { soft, hard } of limits) {
          expect(strictest.soft).toBeLessThanOrEqual(soft)
          if (hard !== null) expect(strictest.hard).toBeLessThanOrEqual(hard)
        }
      }),
    )
  })
})

describe('a run has a part in the pace', () => {
  const none = Object.fromEntries(signalNames.map((name) => [name, false]))

  test('unless none of the signals counts for it', () => {
    expect(isPaced(plain)).toBe(true)
    expect(isPaced({ ...plain, signals: none })).toBe(false)
  })

  test('as long as one of them does, whichever it is', () => {
    for (const name of signalNames) expect(isPaced({ ...plain, signals: { ...none, [name]: true } }), name).toBe(true)
    expect(isPaced({ ...plain, signals: { ...none, 'dead-tuples': 5000 } })).toBe(true)
  })
})
