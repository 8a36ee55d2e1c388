import type { Pause } from '../core/run/pause.ts'
import { computeProgress, type Progress } from '../core/run/progress.ts'
import { globalPauseHold, optionsInForce } from '../core/throttle/hold.ts'
import { isPaced } from '../core/throttle/limits.ts'
import { evaluateThrottle, type Throttle } from '../core/throttle/reasons.ts'
import type { RangeTotals } from './range-totals.ts'
import type { Run } from './run.ts'
import type { StandbyWait } from './standby-wait.ts'

/** The progress and the speed of a run. */
export function progressOfRun({ status, target, hold, heldMs }: Run, totals: RangeTotals): Progress {
  const holdMs = hold ? Math.max(0, totals.readAt.getTime() - Date.parse(hold.since)) : 0
  return computeProgress({
    ...totals,
    status,
    held: hold !== null,
    rowsEstimated: target.estimatedRows,
    throttledSeconds: totals.waitedSeconds + (heldMs + holdMs) / 1000,
  })
}

/** What holds a run back now. */
export function throttleOfRun(
  run: Run,
  totals: RangeTotals,
  pauses: readonly Pause[] = [],
  standbyWait: StandbyWait | null = null,
): Throttle | null {
  const { status, options, overrides } = run
  const { readAt, trouble, readOnly, rateSince, paceCause, paceSince, paceStuckSince, untakenSince } = totals
  const limit = status === 'running' ? options.maxRowsPerSecond : null
  const isHeeded = isPaced(optionsInForce(options, overrides, readAt))
  return evaluateThrottle({
    status,
    // A slow commit-latency is not reported if its commits are known to wait for a standby.
    hold: run.hold?.signal === 'commit-latency' && standbyWait ? null : (run.hold ?? pausedByAll(pauses)),
    standbyWait,
    trouble,
    readOnlySince: readOnly ? totals.stillSince : null,
    rate:
      limit !== null && rateSince
        ? { limit, rowsPerSecond: progressOfRun(run, totals).rowsPerSecond, since: rateSince }
        : null,
    pace: isHeeded && paceCause && paceSince ? { cause: paceCause, since: paceSince } : null,
    paceStuckSince: isHeeded ? paceStuckSince : null,
    untaken: untakenSince && {
      since: untakenSince,
      seconds: totals.untakenSeconds,
      othersAtWork: totals.othersAtWork,
    },
  })
}

/** The throttle of a run paused by `POST /pause`, in the same words as for a run held by the global pause. */
function pausedByAll(pauses: readonly Pause[]): Throttle | null {
  const pause = pauses.find(({ kind }) => kind === 'global')
  if (!pause) return null
  const { by, reason, since } = pause
  return { ...globalPauseHold({ actor: by, reason, since }), since: since.toISOString() }
}
