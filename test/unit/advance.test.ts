import {
  array,
  assert,
  boolean,
  constantFrom,
  infiniteStream,
  integer,
  nat,
  property,
  record,
  type Stream,
} from 'fast-check'
import { describe, expect, test } from 'vitest'
import { isCheck, phaseNames } from '../../src/core/range/phase.ts'
import { maxVerifyRounds, nextStep, type RangeState, type RunState } from '../../src/core/run/next-step.ts'
import { isEnded, nextStatus, type RunStatus, runStatuses } from '../../src/core/run/status.ts'

/** Two slices of the key space, the stragglers, the residual check. */
const ranges: readonly RangeState[] = [
  { ordinal: 0, phase: 'keys', done: false, taken: false, waiting: false, begun: false },
  { ordinal: 1, phase: 'keys', done: false, taken: false, waiting: false, begun: false },
  { ordinal: 2, phase: 'stragglers', done: false, taken: false, waiting: false, begun: false },
  { ordinal: 3, phase: 'residual', done: false, taken: false, waiting: false, begun: false },
]

function run(change: Partial<RunState> = {}): RunState {
  return {
    id: 'job-1',
    status: 'running',
    parallelism: 4,
    held: false,
    ranges,
    stragglers: 0,
    leftovers: 0,
    verifyRounds: 0,
    quarantined: 0,
    succeedWithQuarantined: false,
    ...change,
  }
}

function done(...ordinals: number[]): RangeState[] {
  return ranges.map((range) => ({ ...range, done: ordinals.includes(range.ordinal) }))
}

function taken(...ordinals: number[]): RangeState[] {
  return ranges.map((range) => ({ ...range, taken: ordinals.includes(range.ordinal) }))
}

const dispatch = (...ordinals: number[]) => ({ kind: 'dispatch', ordinals })

describe('the order of a run', () => {
  test('the key ranges come first, whatever stragglers there are already', () => {
    expect(nextStep(run({ status: 'queued' }))).toEqual(dispatch(0, 1))
    expect(nextStep(run({ stragglers: 5 }))).toEqual(dispatch(0, 1))
    expect(nextStep(run({ stragglers: 5, ranges: done(0) }))).toEqual(dispatch(1))
  })

  test('the stragglers come when every key range is done', () => {
    expect(nextStep(run({ stragglers: 1, ranges: done(0, 1) }))).toEqual(dispatch(2))
  })

  test('the residual check comes when no straggler is left', () => {
    expect(nextStep(run({ ranges: done(0, 1) }))).toEqual({ kind: 'event', event: 'verify', reason: null })
    expect(nextStep(run({ status: 'verifying', ranges: done(0, 1) }))).toEqual(dispatch(3))
  })

  test('a run resumed with nothing left to lease starts by itself', () => {
    expect(nextStep(run({ status: 'queued', ranges: done(0, 1) }))).toMatchObject({ event: 'start' })
  })

  test('a check that found nothing is success', () => {
    expect(nextStep(run({ status: 'verifying', ranges: done(0, 1, 3) }))).toMatchObject({ event: 'succeed' })
  })

  test('rows in quarantine keep it from success, unless the options allow them; either way it is said', () => {
    const checked = run({ status: 'verifying', ranges: done(0, 1, 3), quarantined: 2 })
    expect(nextStep(checked)).toMatchObject({
      event: 'fail',
      reason: expect.stringMatching(/2 rows that fail.*POST \/runs\/job-1\/quarantine\/retry/),
    })
    expect(nextStep({ ...checked, succeedWithQuarantined: true })).toMatchObject({
      event: 'succeed',
      reason: expect.stringContaining('2 rows that fail'),
    })
    expect(nextStep({ ...checked, quarantined: 1 })).toMatchObject({
      reason: expect.stringMatching(/\b1 row\b/),
    })
    expect(nextStep({ ...checked, stragglers: 1 })).toMatchObject({ event: 'found-remaining' })
    expect(nextStep({ ...checked, leftovers: 1000 })).toMatchObject({ event: 'found-remaining' })
    expect(nextStep(run({ ranges: done(0, 1), quarantined: 2 }))).toMatchObject({ event: 'verify' })
  })

  test('a check that found rows sends the run back to them', () => {
    const checked = run({ status: 'verifying', ranges: done(0, 1, 3), stragglers: 2 })
    expect(nextStep(checked)).toMatchObject({ event: 'found-remaining' })
    expect(nextStep({ ...checked, verifyRounds: maxVerifyRounds - 1 })).toMatchObject({ event: 'found-remaining' })
  })

  test('a check that finds rows again and again fails the run and says why', () => {
    const step = nextStep(
      run({ status: 'verifying', ranges: done(0, 1, 3), stragglers: 2, verifyRounds: maxVerifyRounds }),
    )
    expect(step).toMatchObject({ event: 'fail', reason: expect.stringContaining('2 rows still match where') })
  })

  test('a run that is stopped, or has ended, gets nothing', () => {
    for (const status of runStatuses.filter((s) => !['queued', 'running', 'verifying'].includes(s))) {
      expect(nextStep(run({ status, stragglers: 3 })), status).toEqual(dispatch())
    }
  })
})

describe('a held run', () => {
  test('gets no tickets, whatever is open', () => {
    for (const status of runStatuses) {
      for (const open of [ranges, done(0, 1), done(0, 1, 2)]) {
        const step = nextStep(run({ status, held: true, stragglers: 1, ranges: open }))
        if (step.kind === 'dispatch') expect(step.ordinals, status).toEqual([])
      }
    }
  })

  test('still changes its status: that writes nothing into a table of the user', () => {
    expect(nextStep(run({ held: true, ranges: done(0, 1) }))).toMatchObject({ event: 'verify' })
    expect(nextStep(run({ held: true, status: 'verifying', ranges: done(0, 1, 3) }))).toMatchObject({
      event: 'succeed',
    })
    expect(nextStep(run({ held: true, status: 'queued', ranges: done(0, 1) }))).toMatchObject({ event: 'start' })
  })
})

describe('parallelism', () => {
  test('ranges that a worker has, or a ticket is out for, are not put out again', () => {
    expect(nextStep(run({ ranges: taken(0) }))).toEqual(dispatch(1))
    expect(nextStep(run({ ranges: taken(0, 1) }))).toEqual(dispatch())
  })

  test('what is taken counts against it', () => {
    expect(nextStep(run({ parallelism: 1 }))).toEqual(dispatch(0))
    expect(nextStep(run({ parallelism: 1, ranges: taken(0) }))).toEqual(dispatch())
  })

  test('a range that waits does not keep another from its room', () => {
    const waiting = ranges.map((range) => ({ ...range, waiting: range.ordinal === 0 }))
    expect(nextStep(run({ parallelism: 1, ranges: waiting }))).toEqual(dispatch(1))
    expect(nextStep(run({ parallelism: 2, ranges: waiting }))).toEqual(dispatch(1, 0))
  })

  const anyRange = record({
    phase: constantFrom(...phaseNames),
    done: boolean(),
    taken: boolean(),
    waiting: boolean(),
    begun: boolean(),
  })
  const anyRun = record({
    id: constantFrom('job-1'),
    status: constantFrom(...runStatuses),
    parallelism: integer({ min: 1, max: 8 }),
    held: boolean(),
    ranges: array(anyRange, { maxLength: 12 }).map((list) => list.map((range, ordinal) => ({ ...range, ordinal }))),
    stragglers: nat(3),
    leftovers: nat(3),
    quarantined: nat(2),
    succeedWithQuarantined: boolean(),
    verifyRounds: nat(maxVerifyRounds + 1),
  })

  test('is never exceeded, not even when it was lowered while workers are out', () => {
    assert(
      property(anyRun, (state) => {
        const step = nextStep(state)
        if (step.kind !== 'dispatch' || step.ordinals.length === 0) return
        const busy = state.ranges.filter((range) => range.taken).length
        expect(busy + step.ordinals.length).toBeLessThanOrEqual(state.parallelism)
      }),
    )
  })

  test('only open ranges that nobody has are put out, each once, all of one kind', () => {
    assert(
      property(anyRun, (state) => {
        const step = nextStep(state)
        if (step.kind !== 'dispatch') return
        const out = step.ordinals.map((ordinal) => state.ranges[ordinal] as RangeState)
        expect(out.filter((range) => range.done || range.taken)).toEqual([])
        expect(new Set(step.ordinals).size).toBe(step.ordinals.length)
        expect(new Set(out.map((range) => range.phase)).size).toBeLessThanOrEqual(1)
      }),
    )
  })

  test('an event that is due is always an arrow of the table', () => {
    assert(
      property(anyRun, (state) => {
        const step = nextStep(state)
        if (step.kind === 'event') nextStatus('run', state.status, step.event)
      }),
    )
  })
})

type Writable = { -readonly [K in keyof RangeState]: RangeState[K] }

describe('the check by pages', () => {
  const withPages = (change: Partial<RangeState> = {}, keysChecked = true): RangeState[] => [
    ...done(0, 1, ...(keysChecked ? [3] : [])),
    { ordinal: 4, phase: 'pages', done: false, taken: false, waiting: false, begun: false, ...change },
  ]
  const verifying = (change: Partial<RunState>) => nextStep(run({ status: 'verifying', ...change }))

  test('comes after the check by keys, and the run ends after it', () => {
    expect(verifying({ ranges: withPages({}, false) })).toEqual(dispatch(3))
    expect(verifying({ ranges: withPages() })).toEqual(dispatch(4))
    expect(verifying({ ranges: withPages({ done: true, begun: true }) })).toMatchObject({ event: 'succeed' })
  })

  test('does not begin where the check by keys has found rows, for it would find them again', () => {
    expect(verifying({ ranges: withPages(), stragglers: 1 })).toMatchObject({ event: 'found-remaining' })
  })

  test('is made all the same before the run is given up: it may be the index that is wrong', () => {
    const last = { stragglers: 1, verifyRounds: maxVerifyRounds }
    expect(verifying({ ranges: withPages(), ...last })).toEqual(dispatch(4))
    expect(verifying({ ranges: withPages({ done: true, begun: true }), ...last })).toMatchObject({ event: 'fail' })
  })

  test('is gone through to its end once it has found a row', () => {
    expect(verifying({ ranges: withPages({ begun: true }), stragglers: 1 })).toEqual(dispatch(4))
  })
})

describe('a whole run', () => {
  /** A run driven as the store drives it; each worker's outcome is the next of the dice. */
  function simulate(
    keyRanges: number,
    parallelism: number,
    dice: Stream<number>,
  ): { status: RunStatus; steps: number } {
    const throws = dice[Symbol.iterator]()
    const roll = () => throws.next().value as number
    const state = {
      id: 'job-1',
      status: 'queued' as RunStatus,
      parallelism,
      held: false,
      ranges: [
        ...Array.from({ length: keyRanges }, () => 'keys' as const),
        'stragglers' as const,
        'residual' as const,
        'pages' as const,
      ].map(
        (phase, ordinal): Writable => ({ ordinal, phase, done: false, taken: false, waiting: false, begun: false }),
      ),
      stragglers: 0,
      leftovers: 0,
      quarantined: 0,
      succeedWithQuarantined: false,
      verifyRounds: 0,
    }
    let steps = 0
    while (!isEnded(state.status) && steps < 2000) {
      steps += 1
      const step = nextStep(state)
      if (step.kind === 'event') {
        state.status = nextStatus('run', state.status, step.event)
        if (step.event !== 'found-remaining') continue
        state.verifyRounds += 1
        // A slice that the check sends back is a range from then on.
        if (state.leftovers > 0)
          state.ranges.push({
            ordinal: state.ranges.length,
            phase: 'keys',
            done: false,
            taken: false,
            waiting: false,
            begun: false,
          })
        state.leftovers = 0
        for (const range of state.ranges) if (isCheck(range.phase)) Object.assign(range, { done: false, begun: false })
        continue
      }
      for (const ordinal of step.ordinals) (state.ranges[ordinal] as { taken: boolean }).taken = true
      const [busy] = state.ranges.filter((range) => range.taken)
      if (!busy) throw new Error(`stuck in ${state.status}: nothing is out and nothing is due`)
      if (state.status === 'queued') state.status = nextStatus('run', state.status, 'start')
      busy.taken = false
      busy.begun = true
      if (busy.phase === 'stragglers') state.stragglers = Math.max(0, state.stragglers - roll())
      else {
        // A slice that ends before its range does comes again; rows it could not have are written down.
        busy.done = roll() > 0
        if (roll() === 3) state.stragglers += roll()
        if (busy.phase === 'residual' && roll() === 3) state.leftovers += roll()
      }
    }
    return { status: state.status, steps }
  }

  test('always ends, however its rows and its checks turn out', () => {
    const seen = new Set<RunStatus>()
    assert(
      property(
        integer({ min: 1, max: 6 }),
        integer({ min: 1, max: 4 }),
        infiniteStream(nat(3)),
        (count, workers, dice) => {
          const { status } = simulate(count, workers, dice)
          seen.add(status)
          expect(['succeeded', 'failed']).toContain(status)
        },
      ),
      { numRuns: 500 },
    )
    expect(seen).toContain('succeeded')
  })

  test('fails, and does not go on for ever, when every check finds rows', () => {
    const state = { ...run({ status: 'verifying', ranges: done(0, 1, 3) }), stragglers: 1 }
    const events: string[] = []
    for (let rounds = 0; rounds <= maxVerifyRounds; rounds += 1) {
      const step = nextStep({ ...state, verifyRounds: rounds })
      if (step.kind === 'event') events.push(step.event)
    }
    expect(events).toEqual([...Array.from({ length: maxVerifyRounds }, () => 'found-remaining'), 'fail'])
  })
})
