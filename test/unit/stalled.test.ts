import { expect, test } from 'vitest'
import { detectStall } from '../../src/core/run/stall.ts'
import { runStatuses } from '../../src/core/run/status.ts'
import { timings } from '../../src/core/timings.ts'

const { stalledAfterSeconds } = timings

const stillSince = new Date('2026-03-01T10:00:00Z')
const lastCheckpointAt = new Date('2026-03-01T09:59:00Z')
const still = (stillSeconds: number) => ({ stillSince, stillSeconds, lastCheckpointAt })

test('a run that should move has stalled once it has given no sign for longer than any that is well', () => {
  expect(detectStall('running', still(stalledAfterSeconds + 0.1), stalledAfterSeconds)).toEqual({
    since: stillSince,
    lastCheckpointAt,
  })
  expect(detectStall('running', still(stalledAfterSeconds), stalledAfterSeconds)).toBeNull()
  expect(detectStall('running', still(-300), stalledAfterSeconds)).toBeNull()
})

test('one that rests, or is told to, has not stalled, however long that is', () => {
  const stalling = runStatuses.filter((status) => detectStall(status, still(1e6), stalledAfterSeconds) !== null)
  expect(stalling).toEqual(['queued', 'running', 'verifying'])
})

test('one that no worker has ever taken up has no checkpoint', () => {
  const never = { stillSince, stillSeconds: 1e3, lastCheckpointAt: null }
  expect(detectStall('queued', never, stalledAfterSeconds)).toEqual({ since: stillSince, lastCheckpointAt: null })
})
