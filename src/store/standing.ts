import { optionsInForce } from '../core/hold.ts'
import { isPaced } from '../core/limits.ts'
import { type Progress, progressOf } from '../core/progress.ts'
import { type Throttle, throttleOf } from '../core/throttle.ts'
import type { Run } from './runs.ts'
import type { RangeTotals } from './totals.ts'

/** How far a run is, and how fast. */
export function progressOfRun({ status, target, hold, heldMs }: Run, totals: RangeTotals): Progress {
  const holdMs = hold ? Math.max(0, totals.readAt.getTime() - Date.parse(hold.since)) : 0
  return progressOf({
    ...totals,
    status,
    held: hold !== null,
    rowsEstimated: target.estimatedRows,
    throttledSeconds: totals.waitedSeconds + (heldMs + holdMs) / 1000,
  })
}

/** What holds a run back now. */
export function throttleOfRun(run: Run, totals: RangeTotals): Throttle | null {
  const { status, options, overrides, hold } = run
  const { readAt, trouble, readOnly, rateSince, paceCause, paceSince, untakenSince } = totals
  const limit = status === 'running' ? options.maxRowsPerSecond : null
  const isHeeded = isPaced(optionsInForce(options, overrides, readAt))
  return throttleOf({
    status,
    hold,
    trouble,
    readOnlySince: readOnly ? totals.stillSince : null,
    rate:
      limit !== null && rateSince
        ? { limit, rowsPerSecond: progressOfRun(run, totals).rowsPerSecond, since: rateSince }
        : null,
    pace: isHeeded && paceCause && paceSince ? { cause: paceCause, since: paceSince } : null,
    untaken: untakenSince && {
      since: untakenSince,
      seconds: totals.untakenSeconds,
      othersAtWork: totals.othersAtWork,
    },
  })
}
