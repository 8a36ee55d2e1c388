import type { z } from 'zod'
import { endlessReason } from '../core/run/endless.ts'
import { matchingShare } from '../core/space/forecast.ts'
import { quoteTableName } from '../core/sql/identifier.ts'
import { countValues } from '../core/sql/template.ts'
import {
  type BatchCost,
  batchesOf,
  fixedCostFinding,
  raiseCost,
  secondsOf,
  settledSize,
  type Work,
} from '../core/throttle/batch-cost.ts'
import type { Places } from '../engine/inspect/places.ts'
import type { ExplainedBatch, SampleRow } from '../engine/rehearse.ts'
import type { dryRunSchema } from './dry-run-schemas.ts'
import type { Prepared } from './prepare.ts'
import type { FailingRow, RehearsedWindow } from './rehearsal.ts'
import { describeSpace } from './space.ts'

type DryRunReport = z.output<typeof dryRunSchema>

export interface Sample {
  readonly before: SampleRow['columns']
  readonly after: SampleRow['columns'] | null
}

/** The observations of a rehearsal. */
export interface Seen {
  readonly places: Places
  readonly windows: readonly RehearsedWindow[]
  readonly samples: readonly Sample[]
  /** The one batch that was explained, and the oid of its table or partition. Null if no batch passed. */
  readonly explained: (ExplainedBatch & { readonly oid: string }) | null
  readonly cost: BatchCost | null
  readonly hot: { readonly updated: number; readonly hot: number }
  /** Row versions left behind for vacuum. */
  readonly deadRows: number
}

/** Further facts for the report. */
export interface Circumstances {
  /** Why a start would be refused. */
  readonly refusals: readonly string[]
  /** Warnings that a run would do rows once more. */
  readonly repeats: readonly string[]
  /** Why the role cannot see whether other sessions are active. */
  readonly blind: string | null
}

export function reportDryRun(
  { job, run, space, settings }: Prepared,
  seen: Seen,
  { refusals, repeats, blind }: Circumstances,
): DryRunReport {
  const { target, options } = run
  const { windows, explained } = seen
  const sum = (of: (window: RehearsedWindow) => number) => windows.reduce((total, window) => total + of(window), 0)
  const [scanned, changed, left] = [sum(({ scanned }) => scanned), sum(({ done }) => done), sum(({ left }) => left)]
  const failing = windows.flatMap((window) => window.failing)
  const matched = changed + left + failing.length
  const seconds = sum((window) => window.seconds)

  const rows = target.estimatedRows
  // From random pages. If they could not be sampled, from the windows, which begin at matching rows.
  const share = space?.facts.sample ? matchingShare(space.facts) : scanned === 0 ? 0 : matched / scanned
  const work: Work = { rows, toChange: Math.round(rows * share) }
  const all = { scanned, changed, seconds }
  const batchesSeen = sum((window) => window.batches)
  const none = { perBatch: 0, perScanned: 0, perChanged: 0 }
  const cost = scanned === 0 ? seen.cost : raiseCost(seen.cost ?? none, batchesSeen, all)
  const size = cost && settledSize(cost, work, options)
  const batches = size === null ? null : batchesOf(work, size)
  const fixed =
    cost &&
    fixedCostFinding(cost, work, options, {
      computed: explained?.computed ?? [],
      values: countOfValues(job),
    })
  const rehearsed = { ...seen.hot, batch: explained, batches }
  const told = space && describeSpace(space, options, rehearsed)
  const wouldFail = failureOf(seen, failing, run)
  return {
    job: run.job,
    table: quoteTableName(target),
    rowsTotal: rows,
    batches: batchesSeen,
    rowsScanned: scanned,
    rowsMatched: matched,
    rowsChanged: changed,
    rowsPerSecond: seconds === 0 ? 0 : Math.round(scanned / seconds),
    wouldFail,
    refusals: [...refusals],
    failing: grouped(failing),
    samples: [...seen.samples],
    estimate: {
      seconds: cost && size && Math.ceil(secondsOf(cost, work, size)),
      walBytes: explained && Math.round((explained.walBytes / Math.max(1, explained.changed)) * work.toChange),
      batchRows: size,
      batchSeconds: cost && Math.round(cost.perBatch * 1e6) / 1e6,
    },
    space: told && { ...told, findings: [...(fixed ? [fixed] : []), ...told.findings] },
    warnings: [
      ...repeats,
      ...(wouldFail ? [wouldFail] : []),
      ...settings,
      ...refusals.map((refusal) => `A start would be refused now: ${refusal}`),
      ...(told === null && fixed ? [fixed] : []),
      ...warningsOf(seen, work, left, blind),
    ],
  }
}

function countOfValues({ where, set }: Prepared['job']): number {
  return [...(where ? [where] : []), ...set.map(([, value]) => value)].reduce(
    (count, piece) => count + countValues(piece),
    0,
  )
}

/** The reason with which a run would fail at these rows; null if it would not. */
function failureOf({ windows }: Seen, failing: readonly FailingRow[], { options }: Prepared['run']): string | null {
  const endless = windows.find((window) => window.endless !== null)?.endless
  if (endless) return endlessReason(endless)
  const [first] = failing
  if (!first) return null
  const { maxQuarantined, succeedWithQuarantined } = options
  const rows = failing.length === 1 ? 'A row fails' : `${failing.length} rows fail`
  const which = `${rows} by ${failing.length === 1 ? 'itself, the one' : 'themselves, for example the one'} with key ${JSON.stringify(first.key)}: ${first.message} [${first.sqlstate}].`
  if (failing.length > maxQuarantined)
    return `${which} maxQuarantined allows ${maxQuarantined}, so a run would fail. Fix the data or the job.`
  return succeedWithQuarantined
    ? null
    : `${which} A run sets such rows aside, does all other rows, and then fails until they are fixed or discarded. Fix the data or the job.`
}

function grouped(failing: readonly FailingRow[]): DryRunReport['failing'] {
  const groups = new Map<string, FailingRow[]>()
  for (const row of failing) {
    const name = JSON.stringify([row.sqlstate, row.message])
    groups.set(name, [...(groups.get(name) ?? []), row])
  }
  return [...groups.values()]
    .map((rows) => ({
      sqlstate: String(rows[0]?.sqlstate),
      message: String(rows[0]?.message),
      rows: rows.length,
      keys: rows.slice(0, 10).map(({ key }) => [...key]),
    }))
    .sort((a, b) => b.rows - a.rows)
}

function warningsOf({ places, windows, deadRows }: Seen, work: Work, left: number, blind: string | null): string[] {
  const stopped = windows.flatMap((window) => window.stopped ?? [])
  return [
    ...stopped,
    ...(places.fault === null
      ? []
      : [
          `Could not search the whole table for matching rows: ${places.fault}. Rows anywhere in the table were rehearsed instead.`,
        ]),
    ...(places.matching || places.fault !== null || work.rows === 0
      ? []
      : ['No row of the table matches where: a run would change none.']),
    ...(blind
      ? [
          `${blind.charAt(0).toUpperCase()}${blind.slice(1)}. Without it a run assumes that other sessions are always active, and is slower.`,
        ]
      : []),
    ...(left > 0 ? [`${left} rows were held by other sessions; a run tries them again.`] : []),
    ...(deadRows > 0
      ? [`The dry run wrote ${deadRows} row versions and rolled them back. Vacuum has to remove them.`]
      : []),
  ]
}
