import type { Pause } from '../core/run/pause.ts'
import { computeProgress, type Progress } from '../core/run/progress.ts'
import { globalPauseHold, optionsInForce } from '../core/throttle/hold.ts'
import { isPaced } from '../core/throttle/limits.ts'
import { evaluateThrottle, type Throttle } from '../core/throttle/reasons.ts'
import type { RangeTotals } from './range-totals.ts'
import type { Run } from './run.ts'
import type { StandbyWait } from './standby-wait.ts'

/** How far a run is, and how fast. */
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
    // A slow probe is not told where the commits that it measures are known to wait.
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

/** The throttle of a run that `POST /pause` has paused: the same words as for one that the global pause holds. */
function pausedByAll(pauses: readonly Pause[]): Throttle | null {
  const pause = pauses.find(({ kind }) => kind === 'global')
  if (!pause) return null
  const { by, reason, since } = pause
  return { ...globalPauseHold({ actor: by, reason, since }), since: since.toISOString() }
}
