import {
  type CountedRun,
  type MetricsSnapshot,
  markedEvents,
  markedForSeconds,
  summarizeJobs,
  toldForSeconds,
} from '../core/run/metrics-snapshot.ts'
import { detectStall } from '../core/run/stall.ts'
import type { Timings } from '../core/timings.ts'
import type { Control } from '../store/control.ts'
import {
  countRangeStates,
  listFailedJobs,
  listLastEnded,
  listLastEvents,
  oldestTicketSeconds,
  readWalBytes,
} from '../store/metrics.ts'
import { readPace } from '../store/pace.ts'
import { sumRanges } from '../store/range-totals.ts'
import { progressOfRun, throttleOfRun } from '../store/run-progress.ts'
import { countRunsByStatus, listLiveRuns } from '../store/runs.ts'

/**
 * Counts the contents of one control schema. Statements run one after the other, so that a scrape takes no connections
 * from work.
 */
export async function collectMetrics(control: Control, timings: Timings): Promise<MetricsSnapshot> {
  const runs = await listLiveRuns(control)
  const ids = runs.map(({ id }) => id)
  const totals = await sumRanges(control, ids)
  const ranges = await countRangeStates(control, ids)
  const { pace, workers } = await readPace(control)
  const live = runs.flatMap((run): CountedRun[] => {
    const sums = totals.get(run.id)
    if (!sums) return []
    const { status, hold, options } = run
    return [
      {
        job: run.job,
        status,
        progress: progressOfRun(run, sums),
        rateLimit: options.maxRowsPerSecond,
        maxQuarantined: options.maxQuarantined,
        verifyRounds: run.verifyRounds,
        stalled: detectStall(status, sums, timings.stalledAfterSeconds) !== null,
        lastCheckpointAt: sums.lastCheckpointAt,
        heldBy: hold?.signal ?? null,
        slowedBy: hold ? null : (throttleOfRun(run, sums)?.signal ?? null),
        ranges: ranges.get(run.id) ?? [],
      },
    ]
  })
  return {
    runsByStatus: new Map((await countRunsByStatus(control)).map(({ status, count }) => [status, count])),
    jobs: summarizeJobs({
      live,
      lastEnded: await listLastEnded(control, toldForSeconds),
      failed: await listFailedJobs(control),
    }),
    lastEvents: await listLastEvents(control, markedEvents, markedForSeconds),
    pace: { concurrency: pace.concurrency, leases: workers, targetSeconds: pace.targetSeconds },
    oldestTicketSeconds: await oldestTicketSeconds(control),
    walBytes: await readWalBytes(control),
  }
}
