import { array, assert, constantFrom, double, integer, oneof, property, record } from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  dutyCycleOf,
  initialPace,
  maxWorkersFor,
  type Pace,
  type PaceInput,
  paceSchema,
  rememberedPace,
  stepPace,
} from '../../src/core/throttle/controller.ts'
import { type Measured, type SignalName, signalNames, signalSpecs } from '../../src/core/throttle/signal.ts'

const plain = { maxLagSeconds: 5, signals: {} }
/** One that has been slowed down before, by four workers. */
const working: Pace = { ...initialPace, concurrency: 1, loweredAt: 1, recentWorkers: [4, 4, 4, 4, 4] }

function measured(signal: SignalName, value: number | null, worst: number | null = value): Measured {
  return { signal, value, worst, detail: 'standby s1', at: 0 }
}

/** As many steps as there are looks; each is what one signal showed. */
function steps(
  signal: SignalName,
  values: ReadonlyArray<number | null>,
  pace = working,
  change: Partial<PaceInput> = {},
) {
  const after: Pace[] = []
  for (const [second, value] of values.entries()) {
    const input = { now: 100 + second, workers: 4, measured: [measured(signal, value)], options: [plain], ...change }
    after.push(stepPace(after.at(-1) ?? pace, input))
  }
  return after
}
const last = (paces: readonly Pace[]) => paces.at(-1) as Pace
const loads = (paces: readonly Pace[]) => paces.map(({ concurrency }) => concurrency)
const step = (input: Partial<PaceInput>, pace = working) =>
  stepPace(pace, { now: 100, workers: 4, measured: [], options: [plain], ...input })

describe('the load', () => {
  test('begins small and grows, faster where it was never too much, and fastest where nothing could be', () => {
    expect(initialPace.concurrency).toBeLessThanOrEqual(0.05)
    const watched = { measured: [measured('replica-lag', 0)] }
    expect(step(watched, initialPace).concurrency / initialPace.concurrency).toBeCloseTo(1.35)
    const beside = step({ measured: [measured('foreground', 1)] }, initialPace)
    expect(beside.concurrency).toBeGreaterThan(step(watched, initialPace).concurrency)
    expect(step({}, initialPace).concurrency).toBeGreaterThan(beside.concurrency)
    expect(step(watched).concurrency).toBeCloseTo(1.15)
  })

  test('never passes what the workers can do, and then has no cause', () => {
    const full = last(
      steps(
        'replica-lag',
        Array.from({ length: 30 }, () => 0),
      ),
    )
    expect(full).toMatchObject({ concurrency: 4, cause: null })
  })

  test('says that it grows, and tells what slowed it down as past, with what it is now, until it is back', () => {
    expect(step({}, initialPace).cause).toMatchObject({ signal: 'start', limit: 4 })
    const slowed = last(steps('replica-lag', [1, 2, 3, 4]))
    expect(slowed.cause).toMatchObject({ signal: 'replica-lag', value: 4, limit: 5 })
    expect(slowed.causeSince).toBe(101)
    const after = last(steps('replica-lag', [0, 0.2], slowed, { now: 200 }))
    expect(after.cause).toEqual({
      reason:
        'Slow since 1970-01-01T00:01:41.000Z because replica-lag was 4 s; it is 0.2 s now, and the pace grows again.',
      signal: 'replica-lag',
      value: 0.2,
      limit: 5,
    })
    expect(after.causeSince).toBe(101)
    expect(
      last(
        steps(
          'replica-lag',
          Array.from({ length: 30 }, () => 0),
          slowed,
        ),
      ).cause,
    ).toBeNull()
  })

  test('never tells a signal in the present that is below its soft limit and does not rise', () => {
    assert(
      property(array(double({ min: 0, max: 12, noNaN: true }), { minLength: 2, maxLength: 40 }), (values) => {
        const seconds = signalSpecs['replica-lag'].soft
        for (const [index, { cause }] of steps('replica-lag', values).entries()) {
          if (cause?.signal !== 'replica-lag') continue
          const value = values[index] as number
          expect(cause.value).toBe(value)
          if (cause.reason.startsWith('replica-lag is') && value < seconds) expect(cause.reason).toContain('and rises')
        }
      }),
    )
  })

  test('is not said to be slowed by what is over once it has come back', () => {
    const slowed = last(
      steps('commit-latency', [3, 3, 3], working, {
        measured: [measured('foreground', 2), measured('commit-latency', 3)],
      }),
    )
    expect(slowed.slowed?.signal).toBe('commit-latency')
    const alone = Array.from({ length: 40 }, () => 1)
    expect(last(steps('commit-latency', alone, slowed))).toMatchObject({ slowed: null, cause: null, causeSince: null })
  })

  test('follows the signal that asks for least, by the limits of the strictest run', () => {
    const two = [measured('replica-lag', 0), measured('slots', 300 * 1024 ** 2)]
    expect(step({ measured: two }).cause?.signal).toBe('slots')
    const strict = [plain, { ...plain, signals: { blocked: 1 } }]
    expect(step({ measured: [measured('blocked', 1)], options: strict }).concurrency).toBe(0.5)
    expect(step({ measured: [measured('blocked', 1)] }).concurrency).toBe(1)
  })

  test('does not heed what no run counts', () => {
    const options = [
      { ...plain, signals: { 'replica-lag': false, foreground: false, 'commit-latency': false } as const },
    ]
    const all = [measured('replica-lag', 900), measured('foreground', 9), measured('commit-latency', null)]
    expect(step({ measured: all, options }).concurrency).toBeGreaterThan(1)
  })

  test('stays as it was while nobody works: what is measured then is not our doing', () => {
    const idle = { workers: 0 }
    const [first, ...later] = steps(
      'replica-lag',
      Array.from({ length: 20 }, () => 4),
      working,
      idle,
    )
    for (const pace of later) expect(pace.concurrency).toBe(first?.concurrency)
  })

  test('is not cut to what the workers between two slices could do, but follows when they have gone', () => {
    const four = step({}, { ...working, concurrency: 4 })
    const gap = step({ workers: 1 }, step({ workers: 0 }, four))
    expect(gap.concurrency).toBe(4)
    let pace = gap
    for (let second = 0; second < 5; second += 1) pace = step({ workers: 1 }, pace)
    expect(pace.concurrency).toBe(1)
  })

  test('is at most what the workers can do, and grows and falls within bounds, whatever is measured', () => {
    const value = oneof(constantFrom(null, 0), double({ min: 0, max: 1e10, noNaN: true }))
    const look = record({
      workers: integer({ min: 0, max: 16 }),
      readings: array(record({ signal: constantFrom(...signalNames), value }), { maxLength: 5 }),
    })
    assert(
      property(array(look, { maxLength: 30 }), (looks) => {
        let pace = initialPace
        for (const [now, { workers, readings }] of looks.entries()) {
          const input = { now, workers, options: [plain] }
          const next = stepPace(pace, { ...input, measured: readings.map((one) => measured(one.signal, one.value)) })
          const most = Math.max(...next.recentWorkers)
          expect(next.concurrency).toBeLessThanOrEqual(Math.max(most, pace.concurrency))
          const company = readings.some(
            ({ signal, value }) =>
              (value === null && signal !== 'commit-latency') || (signal === 'foreground' && Number(value) > 0),
          )
          expect(next.concurrency).toBeLessThanOrEqual(pace.concurrency * (company ? 3 : 50) * 1.000001)
          // What was too much is halved at most; what a replica can take is a third at least, counted from an earlier load.
          const earlier = Math.min(pace.concurrency, ...(pace.trail.concurrency ?? []))
          expect(next.concurrency).toBeGreaterThanOrEqual(Math.max(0.002, Math.min(0.4 * most, 0.3332 * earlier)))
          expect(next.targetSeconds).toBeGreaterThanOrEqual(0.001)
          expect(next.targetSeconds).toBeLessThanOrEqual(0.3)
          expect(paceSchema.parse(JSON.parse(JSON.stringify(next)))).toEqual(next)
          pace = next
        }
      }),
    )
  })
})

describe('the workers that a load is enough for', () => {
  test('are two at the start and all that there are once nothing is in the way', () => {
    expect(maxWorkersFor(initialPace)).toBe(2)
    expect(maxWorkersFor({ ...initialPace, concurrency: 0.06 })).toBe(6)
    expect(maxWorkersFor({ ...initialPace, concurrency: 16 })).toBeGreaterThanOrEqual(64)
  })

  test('grow with it to as many as a run may have, also in company', () => {
    let pace = initialPace
    for (let second = 0; second < 30; second++) {
      const workers = Math.min(16, maxWorkersFor(pace))
      pace = step({ now: second, workers, measured: [measured('foreground', 3)] }, pace)
    }
    expect(pace.concurrency).toBeCloseTo(16 * 0.4)
  })
})

describe('a pace that nobody has stepped for', () => {
  test('a minute is forgotten, a shorter time is not', () => {
    expect(rememberedPace(working, 59)).toBe(working)
    expect(rememberedPace(working, 61)).toBe(initialPace)
  })
})

describe('the share of a worker', () => {
  test('is the same for all of them, and together they take the load', () => {
    expect(dutyCycleOf({ ...working, concurrency: 1 }, 4)).toBe(0.25)
    expect(dutyCycleOf({ ...working, concurrency: 1 }, 8)).toBe(0.125)
    expect(dutyCycleOf({ ...working, concurrency: 4 }, 2)).toBe(1)
    expect(dutyCycleOf(initialPace, 0)).toBe(initialPace.concurrency)
  })

  test('is not more because others are between two slices', () => {
    expect(dutyCycleOf({ ...working, concurrency: 1 }, 1)).toBe(0.25)
  })
})

describe('a lag', () => {
  test('that grows by half a second a second tells that half is replayed', () => {
    const paces = steps('replica-lag', [0, 0.5, 1, 1.5, 2])
    expect(last(paces).concurrency).toBeLessThan(0.7)
    expect(last(paces).concurrency).toBeGreaterThan(0.4)
  })

  test('is counted from the load of when it began: what is still on its way is not counted twice', () => {
    // Three seconds behind for what was sent at a load of 2; in the last three it was 0.5.
    const load = [2, 2, 2, 2, 2, 2, 2, 2, 2, 0.5, 0.5, 0.5]
    const earlier = { ...working, concurrency: 0.5, trail: { concurrency: load, 'replica-lag': [2.7, 2.8, 2.9] } }
    // It replays nine tenths of what was sent at 2: 0.5 is nothing to bring down.
    expect(last(steps('replica-lag', [3], earlier)).concurrency).toBeGreaterThan(0.5)
    const constant = { ...earlier, trail: { ...earlier.trail, concurrency: [0.5] } }
    expect(last(steps('replica-lag', [3], constant)).concurrency).toBeLessThan(0.5)
  })

  test('of a replica that stands still leaves a third of the load, and takes of it once', () => {
    const still = steps('replica-lag', [0, 1, 2, 3, 4, 4.9])
    expect(last(still).concurrency).toBeGreaterThanOrEqual(1 / 3)
    expect(last(still).concurrency).toBeLessThan(0.4)
  })

  test('comes to rest at its soft limit: there it neither grows nor falls', () => {
    for (const load of loads(steps('replica-lag', [2, 2, 2, 2, 2, 2, 2, 2]))) expect(load).toBeCloseTo(1)
    expect(last(steps('replica-lag', [1, 1, 1, 1])).concurrency).toBeGreaterThan(1)
    expect(last(steps('replica-lag', [3, 3, 3, 3])).concurrency).toBeLessThan(1)
  })

  test('of two replicas is that of the one further behind', () => {
    const both = [measured('replica-lag', 0.1), measured('replica-lag', 4), measured('replica-lag', 0)]
    expect(step({ measured: both }).cause?.value).toBe(4)
  })
})

describe('a backlog', () => {
  const mib = 1024 ** 2
  const slots = (...values: number[]) =>
    steps(
      'slots',
      values.map((value) => value * mib),
    )

  test('is slowed down for before it is there, when it grows fast', () => {
    const [, , before, after] = loads(slots(50, 100, 150, 200))
    expect(after).toBeLessThan(before as number)
    expect(last(slots(50, 100, 150, 200)).cause?.reason).toContain('and rises')
  })

  test('is left to while it is on its way to its soft limit, from either side', () => {
    expect(loads(slots(200, 202, 204, 206)).at(-1)).toBe(loads(slots(200, 202, 204)).at(-1))
    expect(loads(slots(300, 298, 296, 294)).at(-1)).toBe(loads(slots(300, 298, 296)).at(-1))
  })

  test('above its soft limit brings the load down step by step, and far below lets it grow', () => {
    expect(last(slots(400, 400, 400, 400)).concurrency).toBeCloseTo((1 - 0.05 * (400 / 256 - 1)) ** 4)
    expect(last(slots(1, 1)).concurrency).toBeCloseTo(1.15 ** 2)
  })
})

describe('a pressure', () => {
  test('of one look that is off is not heard', () => {
    expect(last(steps('active', [0.2, 0.2, 0.2, 0.99])).concurrency).toBeGreaterThan(1)
  })

  test('above its soft limit brings the load down in proportion, to a tenth of the workers, and no less grows to that', () => {
    const once = last(steps('active', [0.84])).concurrency
    expect(once).toBeCloseTo(1 - 0.3 * 0.2)
    expect(last(steps('active', [0.91])).concurrency).toBeLessThan(once)
    expect(
      last(
        steps(
          'active',
          Array.from({ length: 60 }, () => 0.99),
        ),
      ).concurrency,
    ).toBeCloseTo(0.4)
    const little = { ...working, concurrency: 0.05 }
    expect(last(steps('active', [0.99], little)).concurrency).toBeGreaterThan(0.05)
    expect(
      last(
        steps(
          'active',
          Array.from({ length: 60 }, () => 0.99),
          little,
        ),
      ).concurrency,
    ).toBeCloseTo(0.4)
  })

  test('that holds a run halves the load, also when nobody works any more at the next step', () => {
    expect(step({ measured: [measured('active', 1.2)] }).concurrency).toBe(0.5)
    const gone = step({ workers: 0, measured: [measured('active', 0.1, 1.2)] })
    expect(gone.concurrency).toBe(0.5)
    expect(step({ workers: 0, measured: [measured('active', 0.1, 1.2)] }, gone).concurrency).toBe(0.5)
  })

  test('of the probe is our own where nobody else is there', () => {
    const slow = measured('commit-latency', 9)
    expect(step({ measured: [slow] }).concurrency).toBeGreaterThan(1)
    expect(step({ measured: [slow, measured('foreground', 0)] }).concurrency).toBeGreaterThan(1)
    expect(step({ measured: [slow, measured('foreground', 1)] }).concurrency).toBeLessThan(1)
  })
})

describe('a notice', () => {
  test.for(['dead-tuples', 'vacuum', 'snapshot', 'replicas-missing'] as const)('of %s only says: not more', (name) => {
    const { soft } = signalSpecs[name]
    expect(last(steps(name, [soft, soft * 10, soft * 100])).concurrency).toBe(1)
    expect(last(steps(name, [soft])).cause?.reason).toContain('the pace does not grow')
    expect(last(steps(name, [0])).concurrency).toBeCloseTo(1.15)
  })
})

describe('in company', () => {
  const company = [measured('foreground', 3)]

  test('workers leave the larger part of the time to the others, at once', () => {
    const pace = step({ measured: company }, { ...working, concurrency: 4 })
    expect(pace.concurrency).toBeCloseTo(1.6)
    expect(pace.cause).toMatchObject({ signal: 'foreground', value: 3 })
  })

  test('that may be there and cannot be seen, they do as well, and say what is not known', () => {
    // The probe tells how others fare, and not whether there are any.
    expect(step({ measured: [measured('commit-latency', null)] }, { ...working, concurrency: 4 }).concurrency).toBe(4)
    for (const name of signalNames.filter((each) => each !== 'commit-latency')) {
      const pace = step({ measured: [measured(name, null)] }, { ...working, concurrency: 4 })
      expect(pace.concurrency, name).toBeCloseTo(1.6)
      expect(pace.cause).toMatchObject({ signal: name, value: null, reason: expect.stringContaining('is not known') })
    }
  })

  test('batches become short within seconds, and long again when it has gone', () => {
    const polite = [0.01, 0.005, 0.0025, 0.00125, 0.001, 0.001]
    let pace = { ...working, concurrency: 4 }
    for (const seconds of polite) {
      pace = step({ measured: company }, pace)
      expect(pace.targetSeconds).toBeCloseTo(seconds, 6)
    }
    for (let second = 0; second < 25; second += 1) pace = step({ measured: [measured('foreground', 0)] }, pace)
    expect(pace).toMatchObject({ concurrency: 4, targetSeconds: 0.25 })
  })

  test('that waits for a lock of ours they become short too', () => {
    expect(step({ measured: [measured('blocked', 1)] }).targetSeconds).toBe(0.01)
  })
})

describe('a batch', () => {
  test('and its wait take a quarter of a second together at most, so that little comes evenly', () => {
    for (const load of [0.02, 0.1, 0.4]) {
      const { targetSeconds } = step(
        { measured: [measured('replica-lag', 2)] },
        { ...working, concurrency: load, targetSeconds: 0.3 },
      )
      expect(targetSeconds / (load / 4)).toBeLessThanOrEqual(0.2501)
    }
  })
})
