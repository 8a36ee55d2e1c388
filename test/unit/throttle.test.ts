import { describe, expect, test } from 'vitest'
import { runStatuses, workableStatuses } from '../../src/core/run/status.ts'
import { evaluateThrottle, type ThrottleCauses } from '../../src/core/throttle/reasons.ts'

const since = new Date('2026-11-30T11:49:18Z')
const free: ThrottleCauses = {
  status: 'running',
  hold: null,
  standbyWait: null,
  trouble: null,
  readOnlySince: null,
  rate: null,
  pace: null,
  paceStuckSince: null,
  untaken: null,
}
const told = { value: 1, limit: 2, since: since.toISOString() }
const hold = { reason: 'held', signal: 'slots', ...told }
const trouble = { reason: 'a range waits', signal: 'deadlock', ...told }
const rate = { limit: 100, rowsPerSecond: 99.6, since }
const pace = { cause: { reason: 'others are at work', signal: 'foreground' as const, value: 3, limit: 1 }, since }
const standbyWait = { sessions: 2, since }
const untaken = { since, seconds: 60, othersAtWork: 0 }

describe('what holds a run back', () => {
  test('is nothing while nothing does', () => {
    for (const status of runStatuses) expect(evaluateThrottle({ ...free, status })).toBeNull()
  })

  test('is the gravest of it', () => {
    const all = { ...free, hold, trouble, readOnlySince: since, rate, pace, untaken }
    const signals = (brakes: ThrottleCauses) => evaluateThrottle(brakes)?.signal
    expect(signals(all)).toBe('slots')
    expect(signals({ ...all, hold: null })).toBe('read-only')
    expect(signals({ ...all, hold: null, readOnlySince: null, standbyWait })).toBe('synchronous-standby')
    expect(signals({ ...all, hold: null, readOnlySince: null })).toBe('deadlock')
    expect(signals({ ...free, untaken, rate, pace })).toBe('workers')
    expect(signals({ ...free, rate, pace })).toBe('rate')
    expect(signals({ ...free, pace })).toBe('foreground')
    expect(evaluateThrottle({ ...free, paceStuckSince: since })?.reason).toContain('no process can write its next step')
  })

  test('is told of a run that is not to be worked on only where a hold is', () => {
    for (const status of runStatuses)
      if (!(workableStatuses as readonly string[]).includes(status))
        expect(evaluateThrottle({ ...free, status, trouble, readOnlySince: since, rate, pace, untaken })).toBeNull()
  })

  test('names the rate with what it comes to', () => {
    expect(evaluateThrottle({ ...free, rate })).toMatchObject({
      signal: 'rate',
      value: 100,
      limit: 100,
      since: told.since,
    })
  })

  test('names the commits that wait for a standby, one or more, and since when', () => {
    const said = (sessions: number) => evaluateThrottle({ ...free, standbyWait: { sessions, since } })
    expect(said(1)).toMatchObject({ signal: 'synchronous-standby', value: 1, since: told.since })
    expect(said(1)?.reason).toMatch(/\b1 session\b/)
    expect(said(2)?.reason).toMatch(/\b2 sessions\b/)
    expect(said(2)?.reason).toContain('synchronous_standby_names')
  })

  test('is that no worker has come, once one that is free would have, and says what to do', () => {
    const queued = { ...free, status: 'queued' as const }
    expect(evaluateThrottle({ ...queued, untaken: { ...untaken, seconds: 3 } })).toBeNull()
    expect(evaluateThrottle({ ...queued, untaken })?.reason).toMatch(
      /since 2026-11-30T11:49:18.000Z: start a process with ROLE=worker/,
    )
    expect(evaluateThrottle({ ...queued, untaken: { ...untaken, othersAtWork: 2 } })?.reason).toMatch(
      /2 other runs have the workers' slots/,
    )
    expect(evaluateThrottle({ ...queued, untaken: { ...untaken, othersAtWork: 1 } })?.reason).toMatch(/\b1 other run\b/)
  })
})
