import { assert, boolean, constantFrom, array as listOf, nat, option, property, record } from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Progress } from '../../src/core/run/progress.ts'
import {
  explainRefusedShards,
  mergeProgress,
  mergeReasons,
  mergeStatuses,
  type ShardState,
} from '../../src/core/run/shards.ts'
import { isEnded, legalEvents, type RunStatus, runStatuses, workableStatuses } from '../../src/core/run/status.ts'

const anyStatus = constantFrom(...runStatuses)
const anyState = constantFrom<ShardState>(...runStatuses, 'unreachable', 'missing')
const anyParts = listOf(anyState, { minLength: 1, maxLength: 6 })

const resting: readonly RunStatus[] = ['paused', 'cancelled', 'failed', 'succeeded']

describe('the status of a run in several databases', () => {
  test('is one of the statuses, for any combination of parts, in whatever order they come', () => {
    assert(
      property(anyParts, (states) => {
        expect(runStatuses).toContain(mergeStatuses(states))
        expect(mergeStatuses([...states].reverse())).toBe(mergeStatuses(states))
        expect(mergeStatuses([...states, ...states])).toBe(mergeStatuses(states))
      }),
    )
  })

  test('of one part, and of parts that agree, is theirs', () => {
    for (const status of runStatuses) {
      expect(mergeStatuses([status])).toBe(status)
      expect(mergeStatuses([status, status, status])).toBe(status)
    }
  })

  test('is succeeded if and only if every part is', () => {
    assert(
      property(anyParts, (states) => {
        expect(mergeStatuses(states) === 'succeeded').toBe(states.every((state) => state === 'succeeded'))
      }),
    )
    expect(mergeStatuses([])).not.toBe('succeeded')
  })

  test('rests only where nothing of it can commit: while a part moves, or cannot be seen, it does not', () => {
    const moves = (state: ShardState) =>
      state === 'unreachable' || !(resting as readonly ShardState[]).concat('missing').includes(state)
    assert(
      property(anyParts, (states) => {
        expect(resting.includes(mergeStatuses(states))).toBe(!states.some(moves))
      }),
    )
  })

  test('is one on which a worker works if and only if one may be at work', () => {
    const works = (state: ShardState) => (workableStatuses as readonly ShardState[]).includes(state)
    assert(
      property(anyParts, (states) => {
        const status = mergeStatuses(states)
        if (states.some(works)) expect(works(status)).toBe(true)
        else if (works(status)) expect(states).toContain('unreachable')
      }),
    )
  })

  test('is ended only where every part is, or was never there', () => {
    assert(
      property(anyParts, (states) => {
        if (!isEnded(mergeStatuses(states)) || mergeStatuses(states) === 'failed') return
        for (const state of states) expect(state === 'missing' || isEnded(state as RunStatus), state).toBe(true)
      }),
    )
  })

  test.for<[ShardState[], RunStatus]>([
    [['running', 'failed'], 'running'],
    [['running', 'paused', 'succeeded'], 'running'],
    [['queued', 'verifying'], 'running'],
    [['verifying', 'succeeded'], 'verifying'],
    [['queued', 'paused'], 'queued'],
    [['pausing', 'paused', 'failed'], 'pausing'],
    [['cancelling', 'cancelled'], 'cancelling'],
    [['failed', 'paused'], 'failed'],
    [['paused', 'succeeded'], 'paused'],
    [['cancelled', 'succeeded'], 'cancelled'],
    [['succeeded', 'unreachable'], 'running'],
    [['paused', 'unreachable'], 'running'],
    [['succeeded', 'missing'], 'failed'],
    [['cancelled', 'missing'], 'cancelled'],
    [['queued', 'missing'], 'queued'],
  ])('of %j is %s', ([states, status]) => {
    expect(mergeStatuses(states)).toBe(status)
  })
})

describe('the reason of a run in several databases', () => {
  test('is what all say where all say the same', () => {
    const lunch = (database: string) => ({ database, state: 'paused' as const, reason: 'lunch' })
    expect(mergeReasons('paused', [lunch('eu'), lunch('us')])).toBe('lunch')
    expect(mergeReasons('running', [{ database: 'eu', state: 'running', reason: null }])).toBeNull()
  })

  test('names each part that stands elsewhere, or says something, and no other', () => {
    expect(
      mergeReasons('running', [
        { database: 'eu', state: 'running', reason: null },
        { database: 'us', state: 'failed', reason: 'Bad data [22P02].' },
        { database: 'ap', state: 'paused', reason: null },
        { database: 'sa', state: 'succeeded', reason: null },
        { database: 'af', state: 'running', reason: '3 rows are held.' },
        { database: 'me', state: 'unreachable', reason: 'Database me cannot be reached.' },
      ]),
    ).toBe(
      'Database us is failed: Bad data [22P02]. Database ap is paused. Database af is running: 3 rows are held. Database me cannot be reached.',
    )
  })

  test('is none where the others are out of sight and nothing is known of why', () => {
    const away = { database: 'us', state: 'unreachable' as const, reason: null }
    expect(mergeReasons('running', [{ database: 'eu', state: 'running', reason: null }, away])).toBeNull()
  })

  test('is never missing where a part keeps the whole from its end', () => {
    assert(
      property(listOf(record({ state: anyState }), { minLength: 1, maxLength: 5 }), (given) => {
        const parts = given.map(({ state }, index) => ({
          database: `d${index}`,
          state,
          reason: state === 'unreachable' || state === 'missing' ? `d${index} is ${state}` : null,
        }))
        const status = mergeStatuses(parts.map((part) => part.state))
        const reason = mergeReasons(status, parts)
        for (const { database, state } of parts)
          if (['failed', 'paused', 'cancelled', 'unreachable', 'missing'].includes(state) && state !== status)
            expect(reason).toContain(database)
      }),
    )
  })
})

const anyProgress = record<Progress>({
  rowsDone: nat(1e6),
  rowsScanned: nat(1e6),
  rowsTotal: nat(1e6),
  rowsTotalIsEstimate: boolean(),
  ratio: constantFrom(0, 0.5),
  rowsPerSecond: nat(1e5),
  overallRowsPerSecond: nat(1e5),
  etaSeconds: option(nat(1e5)),
  check: option(
    record({
      rowsChecked: nat(1e6),
      rowsTotal: nat(1e6),
      ratio: constantFrom(0, 0.5),
      rowsPerSecond: nat(1e5),
      etaSeconds: option(nat(1e5)),
    }),
  ),
  stragglers: nat(100),
  quarantined: nat(100),
  throttledSeconds: nat(1e4),
})

describe('the progress of a run in several databases', () => {
  test('adds up, waits side by side, and is 1 only at the end', () => {
    assert(
      property(
        listOf(record({ status: anyStatus, progress: anyProgress }), { minLength: 1, maxLength: 5 }),
        (parts) => {
          const status = mergeStatuses(parts.map((part) => part.status))
          const whole = mergeProgress(status, parts, false)
          expect(whole.rowsDone).toBe(parts.reduce((sum, { progress }) => sum + progress.rowsDone, 0))
          const live = parts.filter((part) => !isEnded(part.status))
          if (!isEnded(status))
            expect(whole.rowsPerSecond).toBe(live.reduce((sum, { progress }) => sum + progress.rowsPerSecond, 0))
          expect(whole.check?.rowsChecked ?? 0).toBe(
            parts.reduce((sum, { progress }) => sum + (progress.check?.rowsChecked ?? 0), 0),
          )
          expect(whole.ratio === 1).toBe(status === 'succeeded')
          expect(whole.ratio).toBeGreaterThanOrEqual(0)
          for (const { progress } of parts)
            expect(whole.throttledSeconds).toBeGreaterThanOrEqual(progress.throttledSeconds)
        },
      ),
    )
  })

  const part = (status: RunStatus, etaSeconds: number | null) => ({
    status,
    progress: { ...empty, etaSeconds },
  })
  const empty: Progress = {
    rowsDone: 0,
    rowsScanned: 0,
    rowsTotal: 0,
    rowsTotalIsEstimate: true,
    ratio: 0,
    rowsPerSecond: 0,
    overallRowsPerSecond: 0,
    etaSeconds: null,
    check: null,
    stragglers: 0,
    quarantined: 0,
    throttledSeconds: 0,
  }

  test('has a mean over the time of the part that took longest', () => {
    const ended = (rowsScanned: number, rowsPerSecond: number) => ({
      status: 'succeeded' as const,
      progress: { ...empty, rowsScanned, rowsPerSecond, overallRowsPerSecond: rowsPerSecond },
    })
    const whole = mergeProgress('succeeded', [ended(1000, 100), ended(1000, 50)], false)
    expect([whole.rowsPerSecond, whole.overallRowsPerSecond]).toEqual([100, 100])
    const going = mergeProgress('running', [ended(1000, 100), { ...part('running', 5) }], false)
    expect(going.rowsPerSecond).toBe(0)
  })

  test('takes as long as the slowest part, and does not guess for one that stands still or is out of sight', () => {
    expect(mergeProgress('running', [part('running', 5), part('running', 50)], false).etaSeconds).toBe(50)
    expect(mergeProgress('running', [part('running', 5), part('succeeded', null)], false).etaSeconds).toBe(5)
    expect(mergeProgress('running', [part('running', 5), part('verifying', null)], false).etaSeconds).toBe(5)
    expect(mergeProgress('running', [part('running', 5), part('running', null)], false).etaSeconds).toBeNull()
    expect(mergeProgress('running', [part('running', 5), part('paused', null)], false).etaSeconds).toBeNull()
    expect(mergeProgress('running', [part('running', 5)], true).etaSeconds).toBeNull()
    expect(mergeProgress('succeeded', [part('succeeded', null)], false).etaSeconds).toBeNull()
  })
})

test('an event that is legal for no part is a conflict that says where each stands and what can be done', () => {
  assert(
    property(listOf(anyStatus, { minLength: 1, maxLength: 4 }), constantFrom('pause', 'retry'), (statuses, event) => {
      const parts = statuses.map((status, index) => ({ database: `d${index}`, status }))
      const { kind, message, details } = explainRefusedShards('users-1', parts, event as 'pause')
      expect(kind).toBe('conflict')
      for (const { database, status } of parts) expect(message).toContain(`${status} in ${database}`)
      for (const legal of details.legal as RunStatus[])
        expect(statuses.some((status) => (legalEvents(status) as string[]).includes(legal))).toBe(true)
    }),
  )
})
