import { readFile } from 'node:fs/promises'
import { assert, constantFrom, array as listOf, property } from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Problem } from '../../src/core/errors.ts'
import { endlessReason } from '../../src/core/run/endless.ts'
import {
  isEnded,
  isOver,
  legalEvents,
  liveStatuses,
  nextStatus,
  type RunEvent,
  type RunStatus,
  runEvents,
  runStatuses,
  transitions,
  workableStatuses,
} from '../../src/core/run/status.ts'

const anyStatus = constantFrom(...runStatuses)
const anyEvent = constantFrom(...runEvents)

/** What nextStatus does: the next status, or the problem it throws. */
function attempt(status: RunStatus, event: RunEvent): RunStatus | Problem {
  try {
    return nextStatus('users-1', status, event)
  } catch (error) {
    if (error instanceof Problem) return error
    throw error
  }
}

/** Every arrow of the table. */
const arrows = runStatuses.flatMap((from) =>
  runEvents.flatMap((event) => {
    const to = transitions[from][event]
    return to === null ? [] : [{ from, event, to }]
  }),
)

/** The statuses that some chain of events leads to. */
function reachable(from: RunStatus): Set<RunStatus> {
  const found = new Set<RunStatus>([from])
  // A set's iteration also visits what is added meanwhile.
  for (const status of found) for (const arrow of arrows) if (arrow.from === status) found.add(arrow.to)
  return found
}

describe('the transition table', () => {
  test('decides every event in every status', () => {
    expect(Object.keys(transitions).sort()).toEqual([...runStatuses].sort())
    for (const status of runStatuses) expect(Object.keys(transitions[status]).sort()).toEqual([...runEvents].sort())
  })

  test('is walked by random events without ever leaving it', () => {
    assert(
      property(listOf(anyEvent, { maxLength: 40 }), (events) => {
        let status: RunStatus = 'queued'
        for (const event of events) {
          const next = attempt(status, event)
          if (typeof next === 'string') status = next
          expect(runStatuses).toContain(status)
        }
      }),
    )
  })

  test('gives the next status where it has an arrow, and a conflict that says from where exactly where it has none', () => {
    assert(
      property(anyStatus, anyEvent, (status, event) => {
        const next = attempt(status, event)
        const arrow = transitions[status][event]
        if (arrow !== null) expect(next).toBe(arrow)
        else expect(next).toMatchObject({ kind: 'conflict', details: { from: status, event } })
        if (arrow === null) expect((next as Problem).message).toContain(`Run users-1 is ${status}`)
      }),
    )
  })

  test('lets every live run come to an end, whichever of the three it is', () => {
    for (const status of liveStatuses.filter((status) => status !== 'cancelling')) {
      expect([...reachable(status)], status).toEqual(expect.arrayContaining(['succeeded', 'failed', 'cancelled']))
    }
    expect([...reachable('cancelling')]).toEqual(['cancelling', 'cancelled'])
  })

  test('leads to every status from queued', () => {
    expect([...reachable('queued')].sort()).toEqual([...runStatuses].sort())
  })

  test('never goes back from succeeded or cancelled, and from failed only by an operator', () => {
    expect(legalEvents('succeeded')).toEqual([])
    expect(legalEvents('cancelled')).toEqual([])
    expect(legalEvents('failed')).toEqual(['cancel', 'retry'])
  })

  test('settles only what is pausing or cancelling', () => {
    expect(arrows.filter((arrow) => arrow.event === 'drained')).toEqual([
      { from: 'pausing', event: 'drained', to: 'paused' },
      { from: 'cancelling', event: 'drained', to: 'cancelled' },
    ])
  })

  test('reaches paused and cancelled by settling, or from where all is settled: both say that nothing is in flight', () => {
    const unsettled = arrows.filter(({ event, to }) => ['paused', 'cancelled'].includes(to) && event !== 'drained')
    expect(unsettled).toEqual([{ from: 'failed', event: 'cancel', to: 'cancelled' }])
  })

  test('reaches succeeded from verifying alone: without the residual check there is no success', () => {
    expect(arrows.filter(({ to }) => to === 'succeeded')).toEqual([
      { from: 'verifying', event: 'succeed', to: 'succeeded' },
    ])
  })

  test('lets an operator cancel whatever is live, and what has failed', () => {
    const cancellable = runStatuses.filter((status) => legalEvents(status).includes('cancel'))
    expect(cancellable).toEqual(['queued', 'running', 'pausing', 'paused', 'verifying', 'failed'])
  })

  test('sends what is resumed or retried through queued again', () => {
    for (const { event, to } of arrows) if (event === 'resume' || event === 'retry') expect(to).toBe('queued')
  })
})

describe('what a status means', () => {
  test('a run has ended when it is succeeded, failed or cancelled', () => {
    expect(runStatuses.filter(isEnded)).toEqual(['cancelled', 'succeeded', 'failed'])
  })

  test('a run that has ended is not live, and one that is live has not ended', () => {
    expect([...liveStatuses, ...runStatuses.filter(isEnded)].sort()).toEqual([...runStatuses].sort())
  })

  test('no worker leases a range of a run that is stopped, or being stopped', () => {
    for (const status of workableStatuses) expect(transitions[status].pause, status).toBe('pausing')
    for (const status of runStatuses) {
      if (!(workableStatuses as readonly string[]).includes(status))
        expect(transitions[status].pause, status).toBe(null)
    }
  })

  test('a conflict tells an operator what can be done instead, and only what an operator does', () => {
    expect(attempt('paused', 'pause')).toMatchObject({ details: { legal: ['resume', 'cancel'] } })
    expect((attempt('paused', 'pause') as Problem).message).toContain('It can be resumed or cancelled.')
    expect((attempt('failed', 'pause') as Problem).message).toContain('It can be cancelled or retried.')
    expect((attempt('succeeded', 'pause') as Problem).message).toContain('start a new run instead')
    assert(
      property(anyStatus, anyEvent, (status, event) => {
        const next = attempt(status, event)
        if (typeof next === 'string') return
        for (const legal of next.details.legal as RunEvent[]) {
          expect(['pause', 'resume', 'cancel', 'retry']).toContain(legal)
          expect(transitions[status][legal]).not.toBe(null)
        }
      }),
    )
  })

  test('the index that refuses a second live run, and the query that finds the first, list the live statuses', async () => {
    const listed = async (file: string, before: RegExp) => {
      const text = await readFile(new URL(`../../src/store/${file}`, import.meta.url), 'utf8')
      const list = new RegExp(`${before.source}[^;\`]*?status IN \\(([^)]*)\\)`).exec(text)?.[1] ?? ''
      return [...list.matchAll(/'(\w+)'/g)].map((match) => match[1]).sort()
    }
    expect(await listed('schema/001_runs.sql', /INDEX runs_live/)).toEqual([...liveStatuses].sort())
    expect(await listed('runs.ts', /params_hash = \$2/)).toEqual([...liveStatuses].sort())
  })
})

test('a run is over where nothing of it is tried again: not where it has failed, nor while it can be resumed', () => {
  expect(runStatuses.filter(isOver).sort()).toEqual(['cancelled', 'cancelling', 'succeeded'])
  for (const status of runStatuses.filter(isOver))
    for (const event of ['resume', 'retry', 'start'] as const) expect(attempt(status, event)).toBeInstanceOf(Problem)
})

test('a run that would never end is told a row that goes on matching, and that where is to be changed', () => {
  expect(endlessReason(['eu', '9007199254740993'])).toContain('["eu","9007199254740993"]')
  expect(endlessReason(['5'])).toContain('where')
})
