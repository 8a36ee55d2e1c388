import { isEnded, type RunStatus } from './status.ts'

/** Time constant with which past rows fade out of the rate. Seconds. */
export const rateWindowSeconds = 10

/** The sums over a run's ranges. */
export interface Tally {
  readonly status: RunStatus
  /** No batch of it begins at the moment. */
  readonly held: boolean
  /** Rows in the table when the run was planned, by its statistics. */
  readonly rowsEstimated: number
  /** Rows that windows have passed over, done or not. */
  readonly rowsScanned: number
  /** Of these, rows in slices that the check sent back; then the number of rows that it had counted in them. */
  readonly rowsScannedAgain: number
  readonly rowsAgain: number
  /** Slices of the table that are not passed to their end. */
  readonly openSlices: number
  readonly rowsDone: number
  readonly stragglers: number
  readonly quarantined: number
  /** Rows passed over and stragglers dealt with, so far; then those of the last seconds, older ones faded. */
  readonly rowsPassed: number
  readonly recentRows: number
  /** The same for the check that is under way. */
  readonly rowsChecked: number
  readonly recentChecked: number
  /** How long the run has been running in all; then since it last began to run or to be checked. */
  readonly workedSeconds: number
  readonly sinceSeconds: number
  readonly throttledSeconds: number
}

/** The residual check that is under way. */
export interface CheckProgress {
  readonly rowsChecked: number
  /** About how many rows there are. */
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
  /** The part that windows have passed and left nothing to come back to: 0 to 1, and 1 only after success. */
  readonly ratio: number
  /** By the clock over the last seconds; the mean once the run has ended. */
  readonly rowsPerSecond: number
  /** The mean over all time that the run was running. */
  readonly overallRowsPerSecond: number
  /** Null while any number would mislead: not moving, hardly begun, or already past the estimate. */
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

/** Progress as the API shows it, computed from the checkpoints. */
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

/** By the table's statistics until every slice has been counted, plus the rows that the check sent back. */
function totalOf({ rowsEstimated, rowsScanned, rowsScannedAgain, rowsAgain, openSlices }: Tally): number {
  if (openSlices === 0) return rowsScanned
  const first = rowsScanned - rowsScannedAgain
  // The check follows all slices of the table: once it has sent some back, the number of rows is known.
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

/** Faded rows as rows per second. The divisor is smaller when they were counted for less than the window. */
function rateOf(recentRows: number, seconds: number): number {
  // One batch of a few milliseconds is not a rate of a hundred thousand rows per second.
  const counted = 1 - Math.exp(-Math.max(1, seconds) / rateWindowSeconds)
  return recentRows / (rateWindowSeconds * counted)
}

/** A ratio that stays below 1 until the work is known to be done. */
export function ratioOf(rows: number, total: number): number {
  const ratio = total === 0 ? 0 : Math.min(almostDone, Math.max(0, rows / total))
  return Math.floor(ratio * 10_000) / 10_000
}

function etaOf(rows: number, rate: number, seconds: number): number | null {
  return seconds >= settledAfterSeconds && rate >= minRate && rows > 0 ? Math.ceil(rows / rate) : null
}

/** Below this rate an estimate counts as standing still. Rows per second. */
const minRate = 0.05

/** A slow rate keeps one decimal. */
export function roundRate(rate: number): number {
  return rate < 10 ? Math.round(rate * 10) / 10 : Math.round(rate)
}
