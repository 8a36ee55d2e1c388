import { expect, test } from 'vitest'
import { type CountedRun, censusOf } from '../../src/core/census.ts'
import { progressOf } from '../../src/core/progress.ts'

const tally = {
  status: 'running',
  rowsTotal: 1000,
  rowsScanned: 0,
  rowsDone: 0,
  stragglers: 0,
  quarantined: 0,
  rowsPerSecond: 10,
  overallRowsPerSecond: 10,
  workedSeconds: 60,
  throttledSeconds: 0,
} as const

function counted(scanned: number, run: Partial<CountedRun> = {}): CountedRun {
  return {
    job: 'job',
    status: 'running',
    progress: progressOf({ ...tally, rowsScanned: scanned, stragglers: 2, quarantined: 3 }),
    rateLimit: 100,
    maxQuarantined: 50,
    verifyRounds: 1,
    stalled: false,
    lastCheckpointAt: new Date(scanned),
    heldBy: null,
    slowedBy: null,
    ranges: [{ kind: 'keys', state: 'leased', count: 2 }],
    ...run,
  }
}

test('live runs of one job are added up, or told by the worst of them', () => {
  const runs = [
    counted(900, { verifyRounds: 4, slowedBy: 'rate' }),
    counted(100, { stalled: true, heldBy: 'replica-lag' }),
  ]
  expect(censusOf(runs)).toEqual([
    {
      job: 'job',
      statuses: new Set(['running']),
      quarantined: 6,
      maxQuarantined: 100,
      live: {
        progressRatio: 0.1,
        rowsPerSecond: 20,
        rateLimit: 200,
        etaSeconds: 90,
        stragglers: 4,
        verifyRounds: 4,
        stalled: true,
        lastCheckpointAt: new Date(900),
        held: new Map([['replica-lag', 1]]),
        slowed: new Map([['rate', 1]]),
        ranges: [{ kind: 'keys', state: 'leased', count: 4 }],
      },
    },
  ])
})

test('a rate has no limit where one run has none, and a paused run neither stalls nor has a checkpoint to wait for', () => {
  const [free] = censusOf([counted(1), counted(1, { rateLimit: null })])
  expect(free?.live?.rateLimit).toBeNull()
  const [paused] = censusOf([counted(1, { status: 'paused' })])
  expect(paused?.live).toMatchObject({ stalled: null, lastCheckpointAt: null })
})

test('a job whose runs have all ended has nothing live', () => {
  const [ended] = censusOf([counted(1000, { status: 'failed' })])
  expect(ended).toMatchObject({ statuses: new Set(['failed']), quarantined: 3, live: null })
})
