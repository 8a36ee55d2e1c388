import type { RunStatus } from './run.ts'

/** The time constant of the window over which rows per second are averaged. Seconds. */
export const rateWindowSeconds = 10

/** What a run's ranges add up to. */
export interface Tally {
  readonly status: RunStatus
  /** Rows in the table when the run was planned, by its statistics. */
  readonly rowsTotal: number
  /** Rows that windows have passed over, done or not. */
  readonly rowsScanned: number
  readonly rowsDone: number
  readonly stragglers: number
  readonly quarantined: number
  /** Rows per second over the recent window, while it was not throttled. */
  readonly rowsPerSecond: number
  /** The same, time that it was throttled included: as they really went by. */
  readonly overallRowsPerSecond: number
  /** That any one range has been worked on. Seconds. */
  readonly workedSeconds: number
  readonly throttledSeconds: number
}

export interface Progress {
  readonly rowsDone: number
  readonly rowsScanned: number
  readonly rowsTotal: number
  /** Of the table's rows, the part that windows have passed over: 0 to 1, and 1 only when it has succeeded. */
  readonly ratio: number
  /** Time held back by pace left out. */
  readonly rowsPerSecond: number
  /** All time included. */
  readonly overallRowsPerSecond: number
  /** Null while any number would be a lie: not moving, hardly begun, or already past the estimate. */
  readonly etaSeconds: number | null
  readonly stragglers: number
  /** Rows that failed by themselves and were set aside, neither retried nor discarded yet. */
  readonly quarantined: number
  readonly throttledSeconds: number
}

const settledAfterSeconds = 3
const almostDone = 0.999

/** Progress as people see it, from what the checkpoints say. */
export function progressOf(tally: Tally): Progress {
  const { rowsDone, rowsScanned, stragglers, quarantined } = tally
  const rowsTotal = Math.max(tally.rowsTotal, rowsScanned)
  const ratio = tally.status === 'succeeded' ? 1 : rowsTotal === 0 ? 0 : Math.min(almostDone, rowsScanned / rowsTotal)
  return {
    rowsDone,
    rowsScanned,
    rowsTotal: tally.status === 'succeeded' ? rowsScanned : rowsTotal,
    ratio: Math.floor(ratio * 10_000) / 10_000,
    rowsPerSecond: tally.status === 'running' ? Math.round(tally.rowsPerSecond) : 0,
    overallRowsPerSecond: tally.status === 'running' ? Math.round(tally.overallRowsPerSecond) : 0,
    etaSeconds: etaSeconds(tally),
    stragglers,
    quarantined,
    throttledSeconds: Math.round(tally.throttledSeconds * 10) / 10,
  }
}

function etaSeconds(tally: Tally): number | null {
  const left = tally.rowsTotal - tally.rowsScanned
  const telling =
    tally.status === 'running' && tally.workedSeconds >= settledAfterSeconds && tally.overallRowsPerSecond >= 1
  return telling && left > 0 ? Math.ceil(left / tally.overallRowsPerSecond) : null
}
