import { isEnded, type RunStatus } from './status.ts'

/** The time constant with which rows of the last seconds fade out of the rate. Seconds. */
export const rateWindowSeconds = 10

/** What a run's ranges add up to. */
export interface Tally {
  readonly status: RunStatus
  /** No batch of it begins at this moment. */
  readonly held: boolean
  /** Rows in the table when the run was planned, by its statistics. */
  readonly rowsEstimated: number
  /** Rows that windows have passed over, done or not. */
  readonly rowsScanned: number
  /** Of these, those in slices that the check has sent back; and how many it had counted in those slices. */
  readonly rowsScannedAgain: number
  readonly rowsAgain: number
  /** Slices of the table that are not passed over to their end. */
  readonly openSlices: number
  readonly rowsDone: number
  readonly stragglers: number
  readonly quarantined: number
  /** Rows passed over and stragglers dealt with, so far; and of the last seconds, the older ones faded. */
  readonly rowsPassed: number
  readonly recentRows: number
  /** The same of the check that is under way. */
  readonly rowsChecked: number
  readonly recentChecked: number
  /** For how long the run has been running, in all; and since it last began to run, or to be checked. */
  readonly workedSeconds: number
  readonly sinceSeconds: number
  readonly throttledSeconds: number
}

/** The residual check that is under way. */
export interface CheckProgress {
  readonly rowsChecked: number
  /** About how many there are. */
  readonly rowsTotal: number
  readonly ratio: number
  readonly rowsPerSecond: number
  readonly etaSeconds: number | null
}

export interface Progress {
  readonly rowsDone: number
  readonly rowsScanned: number
  readonly rowsTotal: number
  readonly rowsTotalIsEstimate: boolean
  /** The part that windows have passed over and left nothing to come back to: 0 to 1, and 1 only when it has succeeded. */
  readonly ratio: number
  /** As a clock sees it over the last seconds; the mean once it has ended. */
  readonly rowsPerSecond: number
  /** The mean over all the time that it was running. */
  readonly overallRowsPerSecond: number
  /** Null while any number would be a lie: not moving, hardly begun, or already past the estimate. */
  readonly etaSeconds: number | null
  /** Null while none is under way. */
  readonly check: CheckProgress | null
  readonly stragglers: number
  /** Rows that failed by themselves and were set aside, neither retried nor discarded yet. */
  readonly quarantined: number
  readonly throttledSeconds: number
}

const settledAfterSeconds = 3
const almostDone = 0.999

/** Progress as people see it, from what the checkpoints say. */
export function computeProgress(tally: Tally): Progress {
  const { status, rowsDone, rowsScanned, stragglers, quarantined, openSlices } = tally
  const rowsTotal = totalOf(tally)
  const mean = tally.workedSeconds > 0 ? tally.rowsPassed / tally.workedSeconds : 0
  const now = status === 'running' && !tally.held ? rateOf(tally.recentRows, tally.sinceSeconds) : 0
  return {
    rowsDone,
    rowsScanned,
    rowsTotal,
    rowsTotalIsEstimate: openSlices > 0,
    ratio: status === 'succeeded' ? 1 : ratioOf(rowsScanned - stragglers, rowsTotal),
    rowsPerSecond: roundRate(isEnded(status) ? mean : now),
    overallRowsPerSecond: roundRate(mean),
    etaSeconds: status === 'running' ? etaOf(rowsTotal - rowsScanned + stragglers, now, tally.sinceSeconds) : null,
    check: status === 'verifying' ? checkOf(tally) : null,
    stragglers,
    quarantined,
    throttledSeconds: Math.round(tally.throttledSeconds * 10) / 10,
  }
}

/** By the table's statistics, until every slice has been counted; what the check has sent back comes on top. */
function totalOf({ rowsEstimated, rowsScanned, rowsScannedAgain, rowsAgain, openSlices }: Tally): number {
  if (openSlices === 0) return rowsScanned
  const first = rowsScanned - rowsScannedAgain
  // The check comes after all slices of the table: once it has sent some back, their number is known.
  return Math.max(rowsScanned, (rowsAgain > 0 ? first : rowsEstimated) + rowsAgain)
}

function checkOf({ rowsChecked, rowsScanned, rowsScannedAgain, recentChecked, sinceSeconds }: Tally): CheckProgress {
  const rowsTotal = Math.max(rowsChecked, rowsScanned - rowsScannedAgain)
  const rate = rateOf(recentChecked, sinceSeconds)
  return {
    rowsChecked,
    rowsTotal,
    ratio: ratioOf(rowsChecked, rowsTotal),
    rowsPerSecond: roundRate(rate),
    etaSeconds: etaOf(rowsTotal - rowsChecked, rate, sinceSeconds),
  }
}

/** What faded rows come to a second, where they have been counted for so long: less than the window, and they are that few. */
function rateOf(recentRows: number, seconds: number): number {
  // One batch in a few milliseconds is not yet a hundred thousand rows a second.
  const counted = 1 - Math.exp(-Math.max(1, seconds) / rateWindowSeconds)
  return recentRows / (rateWindowSeconds * counted)
}

/** A part of a whole that is not done to the end before it is said to be. */
export function ratioOf(rows: number, total: number): number {
  const ratio = total === 0 ? 0 : Math.min(almostDone, Math.max(0, rows / total))
  return Math.floor(ratio * 10_000) / 10_000
}

function etaOf(rows: number, rate: number, seconds: number): number | null {
  return seconds >= settledAfterSeconds && rate >= minRate && rows > 0 ? Math.ceil(rows / rate) : null
}

/** Below this nothing moves, as far as an estimate can tell. Rows per second. */
const minRate = 0.05

/** A slow rate has a digit behind the point. */
export function roundRate(rate: number): number {
  return rate < 10 ? Math.round(rate * 10) / 10 : Math.round(rate)
}
