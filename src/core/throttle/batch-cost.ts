import { formatCount, formatSeconds, listOf } from '../format.ts'
import type { RunOptions } from '../job/options.ts'
import { batchSizeBounds } from './batch-sizer.ts'

/** A timed batch. */
export interface TimedBatch {
  /** Rows the window passed over. */
  readonly scanned: number
  /** Rows that were changed. */
  readonly changed: number
  readonly seconds: number
}

/** A small and a large batch from the same position: they differ by the cost of rows. */
export interface TimedPair {
  readonly small: TimedBatch
  readonly large: TimedBatch
}

/** The cost of a batch: a part before its first row, and a part for each row. Seconds. */
export interface BatchCost {
  readonly perBatch: number
  readonly perScanned: number
  readonly perChanged: number
}

/** `passed`: the same two windows once none of their rows matches any more; null if that cannot be. */
export function fitCost({ small, large }: TimedPair, passed: TimedPair | null): BatchCost {
  const perScanned = passed
    ? perRow(passed.large.seconds - passed.small.seconds, passed.large.scanned - passed.small.scanned)
    : 0
  const passing = perScanned * (large.scanned - small.scanned)
  const perChanged = perRow(large.seconds - small.seconds - passing, large.changed - small.changed)
  const rows = small.scanned * perScanned + small.changed * perChanged
  return { perBatch: Math.max(0, small.seconds - rows), perScanned, perChanged }
}

function perRow(seconds: number, rows: number): number {
  return rows > 0 ? Math.max(0, seconds / rows) : 0
}

/**
 * Raises the cost to what these batches really took, if that is more. The first rows of a place are read from storage,
 * and the few timed rows need not be typical.
 */
export function raiseCost(cost: BatchCost, batches: number, { scanned, changed, seconds }: TimedBatch): BatchCost {
  const rows = scanned * cost.perScanned + changed * cost.perChanged
  const taken = seconds - batches * cost.perBatch
  // If rows are the smaller part of a batch, the remainder says nothing about them.
  if (scanned === 0 || taken <= rows || rows < batches * cost.perBatch) return cost
  if (rows === 0)
    return changed > 0 ? { ...cost, perChanged: taken / changed } : { ...cost, perScanned: taken / scanned }
  return { ...cost, perScanned: (cost.perScanned * taken) / rows, perChanged: (cost.perChanged * taken) / rows }
}

/** The work of one worker: rows that windows pass over, and those of them that are changed. */
export interface Work {
  readonly rows: number
  readonly toChange: number
}

/** Rows of a window once its size has settled, if the run is alone on the server. */
export function settledSize(cost: BatchCost, work: Work, options: RunOptions): number {
  const { min, max } = batchSizeBounds(options)
  const each = eachRow(cost, work)
  const left = maxBatchTime(options) - cost.perBatch
  return Math.round(Math.min(max, Math.max(min, each > 0 ? left / each : max)))
}

/** Time for all batches one after the other, and for the check that reads every row once more. */
export function secondsOf(cost: BatchCost, work: Work, size: number): number {
  const changing = batchesOf(work, size) * cost.perBatch + work.rows * eachRow(cost, work)
  return changing + work.rows * cost.perScanned
}

export function batchesOf({ rows }: Work, size: number): number {
  return Math.ceil(rows / size)
}

function eachRow({ perScanned, perChanged }: BatchCost, { rows, toChange }: Work): number {
  return perScanned + perChanged * (rows > 0 ? Math.min(1, toChange / rows) : 0)
}

function maxBatchTime({ targetBatchSeconds }: RunOptions): number {
  return typeof targetBatchSeconds === 'number' ? targetBatchSeconds : targetBatchSeconds.max
}

/** A fixed cost below this is usual: parsing, planning, the round trip. Seconds. */
const minToTell = 0.02
/** The largest and the longest batch that the options allow. */
const maxRows = 100_000
const maxSeconds = 5

/**
 * Finds that a batch costs more before its first row than for all of its rows, and which options help. `computed`:
 * relations that subqueries of the job read. `values`: how many values the job binds.
 */
export function fixedCostFinding(
  cost: BatchCost,
  work: Work,
  options: RunOptions,
  { computed, values }: { readonly computed: readonly string[]; readonly values: number },
): string | null {
  const size = settledSize(cost, work, options)
  const each = eachRow(cost, work)
  if (cost.perBatch < minToTell || cost.perBatch < size * each) return null
  const causes = [
    ...(computed.length > 0 ? [`a subquery reads ${listOf(computed)} again for each batch`] : []),
    ...(values > 1000 ? [`${formatCount(values)} values are sent with each batch`] : []),
  ]
  const cause = causes.length > 0 ? `: ${listOf(causes)}` : ''
  const target = Math.min(maxSeconds, Math.max(maxBatchTime(options), roundUp(5 * cost.perBatch)))
  const wanted = each > 0 ? (target - cost.perBatch) / each : maxRows
  const rows = Math.min(maxRows, Math.max(batchSizeBounds(options).min, roundUp(wanted)))
  const share = batchesOf(work, size) * cost.perBatch
  const mend =
    rows > size
      ? ` Use larger batches: "options": {"batchSize": ${rows}, "targetBatchSeconds": ${target}}; or put what does not depend on the row into a column or an indexed table first.`
      : ' Put what does not depend on the row into a column or an indexed table first.'
  return `Each batch costs about ${formatSeconds(cost.perBatch)} before its first row${cause}. In batches of ${formatCount(size)} rows that is ${formatSeconds(share)} of ${formatSeconds(secondsOf(cost, work, size))} in all.${mend}`
}

/** Rounded up to one digit: a number that a person would write. */
function roundUp(value: number): number {
  const unit = 10 ** Math.floor(Math.log10(value))
  return Number((Math.ceil(value / unit) * unit).toPrecision(6))
}
