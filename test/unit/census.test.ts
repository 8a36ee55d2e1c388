import { expect, test } from 'vitest'
import { type CountedRun, summarizeJobs } from '../../src/core/run/metrics-snapshot.ts'
import { computeProgress } from '../../src/core/run/progress.ts'

const tally = {
  status: 'running',
  held: false,
  rowsEstimated: 1000,
  rowsScanned: 0,
  rowsScannedAgain: 0,
  rowsAgain: 0,
  openSlices: 1,
  rowsDone: 0,
  stragglers: 0,
  quarantined: 0,
  rowsPassed: 600,
  // 10 a second for long.
  recentRows: 100,
  rowsChecked: 0,
  recentChecked: 0,
  workedSeconds: 60,
  sinceSeconds: 600,
  throttledSeconds: 0,
} as const

const none = { live: [], lastEnded: [], failed: [] }

function counted(scanned: number, run: Partial<CountedRun> = {}): CountedRun {
  return {
    job: 'job',
    status: 'running',
    progress: computeProgress({ ...tally, rowsScanned: scanned, stragglers: 2, quarantined: 3 }),
    rateLimit: 100,
    maxQuarantined: 50,
    verifyRounds: 1,
    stalled: false,
    lastCheckpointAt: new Date(scanned),
    heldBy: null,
    slowedBy: null,
    ranges: [{ phase: 'keys', state: 'leased', count: 2 }],
    ...run,
  }
}

test('live runs of one job are added up, or told by the worst of them', () => {
  const runs = [
    counted(900, { verifyRounds: 4, slowedBy: 'rate' }),
    counted(100, { stalled: true, heldBy: 'replica-lag' }),
  ]
  expect(summarizeJobs({ ...none, live: runs })).toEqual([
    {
      job: 'job',
      statuses: new Set(['running']),
      quarantined: 3,
      maxQuarantined: 50,
      live: {
        progressRatio: 0.098,
        rowsPerSecond: 20,
        rateLimit: 200,
        etaSeconds: 91,
        stragglers: 4,
        verifyRounds: 4,
        stalled: true,
        lastCheckpointAt: new Date(900),
        held: new Map([['replica-lag', 1]]),
        slowed: new Map([['rate', 1]]),
        ranges: [{ phase: 'keys', state: 'leased', count: 4 }],
      },
    },
  ])
})

test('a rate has no limit where one run has none, and a paused run neither stalls nor has a checkpoint to wait for', () => {
  const [free] = summarizeJobs({ ...none, live: [counted(1), counted(1, { rateLimit: null })] })
  expect(free?.live?.rateLimit).toBeNull()
  const [paused] = summarizeJobs({ ...none, live: [counted(1, { status: 'paused' })] })
  expect(paused?.live).toMatchObject({ stalled: null, lastCheckpointAt: null })
})

test('a run that does not move yet has no end in sight and no checkpoint, and takes nothing from those that do', () => {
  const still = counted(0, { progress: computeProgress({ ...tally, recentRows: 0 }), lastCheckpointAt: null })
  const [alone] = summarizeJobs({ ...none, live: [still] })
  expect(alone?.live).toMatchObject({ etaSeconds: null, lastCheckpointAt: null, stalled: false })
  const [beside] = summarizeJobs({ ...none, live: [still, counted(900)] })
  expect(beside?.live).toMatchObject({ lastCheckpointAt: new Date(900), etaSeconds: expect.any(Number) })
})

test('quarantine is that of the run which is nearest to its limit', () => {
  const full = counted(1, { maxQuarantined: 4 })
  const [job] = summarizeJobs({ ...none, live: [counted(1), full, counted(1)] })
  expect(job).toMatchObject({ quarantined: 3, maxQuarantined: 4 })
})

test('a job has failed until the run that failed is run again, whatever others of it have come to since', () => {
  const lastEnded = [{ job: 'job', status: 'succeeded' as const }]
  const failed = [{ job: 'job', quarantined: 101 }]
  const [still] = summarizeJobs({ live: [], lastEnded, failed })
  expect(still).toMatchObject({ statuses: new Set(['failed', 'succeeded']), quarantined: 101, maxQuarantined: null })
  const [beside] = summarizeJobs({ live: [counted(1)], lastEnded, failed })
  expect(beside).toMatchObject({ statuses: new Set(['running', 'failed']), quarantined: 3 })
  const [again] = summarizeJobs({ live: [counted(1)], lastEnded: [{ job: 'job', status: 'failed' }], failed: [] })
  expect(again?.statuses).toEqual(new Set(['running']))
})

test('a job whose runs have all ended has nothing live', () => {
  const [ended] = summarizeJobs({ ...none, lastEnded: [{ job: 'job', status: 'cancelled' }] })
  expect(ended).toMatchObject({ statuses: new Set(['cancelled']), quarantined: 0, maxQuarantined: null, live: null })
})
