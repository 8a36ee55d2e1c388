import { array, assert, boolean, constantFrom, double, oneof, property, record } from 'fast-check'
import { describe, expect, test } from 'vitest'
import { defaultRunOptions } from '../../src/core/job/options.ts'
import {
  evaluateHold,
  globalPauseSchema,
  type HoldInput,
  type Override,
  optionsInForce,
  overridesInForce,
  releaseFraction,
} from '../../src/core/throttle/hold.ts'
import { getLimit } from '../../src/core/throttle/limits.ts'
import { type Measured, type SignalName, signalNames, signalSpecs } from '../../src/core/throttle/signal.ts'

const now = new Date('2026-01-15T12:00:00Z')
const soon = new Date('2026-01-15T12:00:01Z')
const nights = { cron: '* 22-23,0-5 * * *', timeZone: 'Europe/Vienna' }
const essentials = signalNames.filter((name) => signalSpecs[name].essential)

function measured(signal: SignalName, value: number | null, worst: number | null = value, detail = 'standby s1') {
  return { signal, value, worst, detail, at: 0 } satisfies Measured
}

function held(change: Partial<HoldInput>) {
  return evaluateHold({ options: defaultRunOptions, heldBy: null, measured: [], globalPause: null, now, ...change })
}

const override = (signal: Override['signal'], until: Date): Override => ({
  signal,
  reason: 'I look after it',
  by: 'ops',
  since: '2026-01-15T11:00:00Z',
  until: until.toISOString(),
})

describe('a signal holds a run', () => {
  test('from its hard limit on, and not before', () => {
    for (const name of signalNames) {
      const { hard } = signalSpecs[name]
      if (hard === null) expect(held({ measured: [measured(name, 1e15)] }), name).toBeNull()
      else {
        expect(held({ measured: [measured(name, hard * 0.999)] }), name).toBeNull()
        expect(held({ measured: [measured(name, hard)] }), name).toMatchObject({
          signal: name,
          value: hard,
          limit: hard,
        })
      }
    }
  })

  test('and says what was measured on what, and the limit', () => {
    expect(held({ measured: [measured('replica-lag', 7.26)] })?.reason).toBe(
      'replica-lag is 7.3 s (standby s1); the limit is 5 s.',
    )
  })

  test('not when the run does not count it', () => {
    const options = { ...defaultRunOptions, signals: { blocked: false, 'replica-lag': false } as const }
    expect(held({ options, measured: [measured('blocked', 99), measured('replica-lag', null)] })).toBeNull()
  })

  test('by the limit that the run has of its own', () => {
    const options = { ...defaultRunOptions, maxLagSeconds: 60, signals: { blocked: 30 } }
    expect(held({ options, measured: [measured('replica-lag', 59), measured('blocked', 29)] })).toBeNull()
    expect(held({ options, measured: [measured('blocked', 30)] })).toMatchObject({ signal: 'blocked', limit: 30 })
  })
})

describe('dead tuples', () => {
  const options = { ...defaultRunOptions, signals: { 'dead-tuples': 100_000 } }
  const dead = (rows: number, worst: number | null, value = rows / 1_000_000) => ({
    ...measured('dead-tuples', value, worst),
    rows,
    outlook: 'Autovacuum is due.',
  })

  test('hold by a number of rows where the limit is one', () => {
    expect(held({ options, measured: [dead(99_999, 0.1)] })).toBeNull()
    expect(held({ options, measured: [dead(100_000, 0.1)] })).toEqual({
      reason: expect.stringMatching(
        /^dead-tuples is 100,000 rows \(.*\); the limit is 100,000 rows\. Autovacuum is due\.$/,
      ),
      signal: 'dead-tuples',
      value: 100_000,
      limit: 100_000,
    })
  })

  test('in rows let a held run go on once three looks were well below', () => {
    const again = (rows: number, worst: number | null, value?: number) =>
      held({ options, heldBy: 'dead-tuples', measured: [dead(rows, worst, value)] })
    expect(again(40_000, 0.049)).toBeNull()
    expect(again(40_000, 0.05)?.reason).toContain('goes on once it has stayed under 50,000 rows for a moment. Autovac')
    expect(again(0, 0.1)).not.toBeNull()
    expect(again(0, 0)).toBeNull()
    expect(again(0, null)).not.toBeNull()
  })

  test('as a part of the table hold with what there is to expect', () => {
    const part = { ...defaultRunOptions, signals: { 'dead-tuples': 0.1 } }
    expect(held({ options: part, measured: [dead(100_000, 0.1)] })?.reason).toMatch(
      /is 10 % \(.*\); the limit is 10 %\. Autovacuum is due\.$/,
    )
  })
})

describe('a signal that is not known', () => {
  test.for(essentials)('holds where it is %s, with why it is not known and what to do', (name) => {
    const why = 'Grant pg_monitor to the role evenkeel.'
    expect(held({ measured: [measured(name, null, null, why)] })).toEqual({
      reason: `${name} is not known, so nothing is written. ${why}`,
      signal: name,
      value: null,
      limit: getLimit(name, defaultRunOptions)?.hard,
    })
  })

  test.for(signalNames.filter((name) => !signalSpecs[name].essential))('does not hold where it is %s', (name) => {
    expect(held({ measured: [measured(name, null)] })).toBeNull()
    expect(held({ heldBy: name, measured: [measured(name, null)] })).toBeNull()
  })
})

describe('a run that is held', () => {
  const hard = 5
  const [under, over] = [releaseFraction * hard - 0.01, releaseFraction * hard]

  test('goes on once the worst of three looks is well below the limit', () => {
    expect(held({ heldBy: 'replica-lag', measured: [measured('replica-lag', under, under)] })).toBeNull()
    expect(held({ heldBy: 'replica-lag', measured: [measured('replica-lag', under, over)] })).toMatchObject({
      signal: 'replica-lag',
      reason: expect.stringContaining('goes on once it has stayed under 2.5 s'),
    })
    expect(held({ heldBy: 'replica-lag', measured: [measured('replica-lag', over, over)] })).not.toBeNull()
  })

  test('stays held while one of the three looks is unknown', () => {
    expect(held({ heldBy: 'replica-lag', measured: [measured('replica-lag', 0, null)] })).not.toBeNull()
  })

  test('stays held while one of two replicas is not well below', () => {
    const replicas = [measured('replica-lag', 0, 0, 'standby s1'), measured('replica-lag', 3, 3, 'standby s2')]
    expect(held({ heldBy: 'replica-lag', measured: replicas })?.reason).toContain('standby s2')
  })

  test('goes on where the signal that held it is no longer measured, or no longer counts', () => {
    expect(held({ heldBy: 'replica-lag', measured: [] })).toBeNull()
    const options = { ...defaultRunOptions, signals: { 'replica-lag': false } as const }
    expect(held({ options, heldBy: 'replica-lag', measured: [measured('replica-lag', 4)] })).toBeNull()
  })

  test('by one signal is not kept by any other: below its limit, that lets it go on', () => {
    const name = constantFrom(...signalNames)
    assert(
      property(name, name, double({ min: 0, max: 0.999, noNaN: true }), (heldBy, other, part) => {
        const limit = getLimit(other, defaultRunOptions)?.hard ?? null
        if (heldBy === other || limit === null) return
        expect(held({ heldBy, measured: [measured(heldBy, 0), measured(other, part * limit)] })).toBeNull()
      }),
    )
  })
})

describe('of several causes', () => {
  test('everything paused comes first, then the schedule, then what is measured', () => {
    const options = { ...defaultRunOptions, schedule: nights }
    const globalPause = { reason: 'the sale begins', actor: 'ops', since: now }
    const lag = measured('replica-lag', 9)
    expect(held({ options, globalPause, measured: [lag] })?.signal).toBe('global-pause')
    expect(held({ options, measured: [lag] })?.signal).toBe('schedule')
    expect(held({ measured: [lag] })?.signal).toBe('replica-lag')
  })

  test('what is not known is told before any number, and a standby that is gone before how far another is behind', () => {
    const lag = measured('replica-lag', 5000)
    const gone = measured('replicas-missing', 16)
    expect(held({ measured: [lag, gone, measured('slots', null)] })?.signal).toBe('slots')
    expect(held({ measured: [lag, gone] })?.signal).toBe('replicas-missing')
  })

  test('the one that is furthest beyond its limit is told, in whatever order they are', () => {
    const causes = [measured('replica-lag', 6), measured('replica-bytes', 300 * 1024 ** 2), measured('blocked', 9)]
    for (const order of [causes, [...causes].reverse()]) expect(held({ measured: order })?.signal).toBe('blocked')
  })

  test('there is a hold if and only if one of them alone would hold', () => {
    const value = oneof(constantFrom(null), double({ min: 0, max: 1e10, noNaN: true }))
    const any = record({ signal: constantFrom(...signalNames), value, worse: boolean() }).map(
      ({ signal, value, worse }) => measured(signal, value, value === null ? null : value * (worse ? 2 : 1)),
    )
    assert(
      property(array(any, { maxLength: 6 }), constantFrom(null, ...signalNames), (readings, heldBy) => {
        const alone = readings.filter((reading) => held({ heldBy, measured: [reading] }) !== null)
        const hold = held({ heldBy, measured: readings })
        expect(hold === null).toBe(alone.length === 0)
        if (hold) expect(alone.map(({ signal }) => signal)).toContain(hold.signal)
      }),
    )
  })
})

describe('a schedule', () => {
  test('holds outside its minutes, and says when the run goes on', () => {
    const options = { ...defaultRunOptions, schedule: nights }
    expect(held({ options })).toEqual({
      reason:
        'The run is outside its schedule (* 22-23,0-5 * * *, Europe/Vienna) and goes on by itself at 2026-01-15T21:00:00.000Z.',
      signal: 'schedule',
      value: null,
      limit: null,
    })
    expect(held({ options, now: new Date('2026-01-15T21:00:00Z') })).toBeNull()
  })
})

describe('a global pause', () => {
  test('holds, and says who, since when, why and how it ends', () => {
    expect(held({ globalPause: { reason: 'the sale begins', actor: 'ops', since: now } })?.reason).toBe(
      'ops paused all runs at 2026-01-15T12:00:00.000Z: the sale begins. POST /resume lets them go on.',
    )
    expect(held({ globalPause: { reason: null, actor: 'ops', since: now } })?.reason).toBe(
      'ops paused all runs at 2026-01-15T12:00:00.000Z. POST /resume lets them go on.',
    )
  })

  test('is read from JSON of Postgres’ with its time', () => {
    const kept = { reason: null, actor: 'ops', since: '2026-01-15T13:00:00+01:00' }
    expect(globalPauseSchema.parse(kept)).toEqual({ reason: null, actor: 'ops', since: now })
    expect(globalPauseSchema.safeParse({ ...kept, actor: null }).success).toBe(false)
  })
})

describe('an override', () => {
  const options = { ...defaultRunOptions, schedule: nights, signals: { slots: 5, heartbeat: false } as const }

  test('lets a run not heed what it names, and nothing else', () => {
    const inForce = optionsInForce(options, [override('replica-lag', soon)], now)
    expect(inForce).toEqual({ ...options, signals: { ...options.signals, 'replica-lag': false } })
    expect(held({ options: { ...inForce, schedule: null }, measured: [measured('replica-lag', null)] })).toBeNull()
    expect(held({ options: inForce, measured: [measured('replica-lag', 99)] })?.signal).toBe('schedule')
  })

  test('of a limit of its own takes that out of force as well', () => {
    expect(optionsInForce(options, [override('slots', soon)], now).signals.slots).toBe(false)
  })

  test('of the schedule lets it work at any time', () => {
    const inForce = optionsInForce(options, [override('schedule', soon)], now)
    expect(inForce).toEqual({ ...options, schedule: null })
    expect(held({ options: inForce })).toBeNull()
  })

  test('ends by itself, at its time', () => {
    const overrides = [override('replica-lag', soon), override('schedule', now)]
    expect(overridesInForce(overrides, now)).toEqual([overrides[0]])
    expect(overridesInForce(overrides, soon)).toEqual([])
    expect(optionsInForce(options, overrides, soon)).toEqual(options)
  })

  test('does not lift a global pause', () => {
    const globalPause = { reason: null, actor: 'ops', since: now }
    const all = [...signalNames, 'schedule' as const].map((signal) => override(signal, soon))
    expect(held({ options: optionsInForce(options, all, now), globalPause })?.signal).toBe('global-pause')
  })

  test('leaves the options themselves as they were', () => {
    const before = structuredClone(options)
    optionsInForce(options, [override('slots', soon), override('schedule', soon)], now)
    expect(options).toEqual(before)
  })
})
