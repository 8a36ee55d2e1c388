import { randomUUID } from 'node:crypto'
import type { z } from 'zod'
import { Problem } from '../core/errors.ts'
import { answerTo, concernsJob, describeFault } from '../core/fault.ts'
import { quoteTableName } from '../core/identifier.ts'
import { boundsOf } from '../core/pace.ts'
import { asAuthor } from '../engine/author.ts'
import { type RehearsedBatch, rehearseBatch, sampleByKey, sampleMatching } from '../engine/rehearse.ts'
import { readHotUpdates } from '../engine/space.ts'
import { updateStatements } from '../engine/update.ts'
import { type Control, createControl } from '../store/control.ts'
import { leaseRange } from '../store/leases.ts'
import { changeStatus, createRun } from '../store/lifecycle.ts'
import { listRanges } from '../store/ranges.ts'
import { findPartlyDone, findSucceeded, type NewRun } from '../store/runs.ts'
import { summariseStragglers } from '../store/stragglers.ts'
import { takeSession } from '../store/takeout.ts'
import { assignTickets } from '../store/tickets.ts'
import type { ApiDeps, Site } from './deps.ts'
import type { dryRunSchema, dryRunsSchema } from './schemas.ts'
import { chooseSites, eachOrRefuse } from './sites.ts'
import { tellSpace } from './space.ts'
import { type Prepared, prepareRun, type StartRequest } from './start.ts'

export type DryRunReport = z.output<typeof dryRunSchema>
export type DryRunReports = z.output<typeof dryRunsSchema>

const batches = 3
const samples = 5
const leaseSeconds = 60
const actor = 'dry run'

/** Carries the report out of the transaction that must not commit. */
class RolledBack extends Error {
  readonly report: DryRunReport
  constructor(report: DryRunReport) {
    super('rolled back')
    this.report = report
  }
}

/** A dry run in each database that the run would span; where there is but one, without a name, its report alone. */
export async function dryRunAll({ sites }: ApiDeps, request: StartRequest): Promise<DryRunReport | DryRunReports> {
  const places = chooseSites(sites, request.databases).map((site) => ({ site }))
  const done = await eachOrRefuse(places, `The dry run of ${request.job} was refused`, ({ site }) =>
    dryRun(site, request),
  )
  const [only] = done
  if (only && only.site.name === null) return only.result
  return { job: request.job, databases: Object.fromEntries(done.map(({ site, result }) => [site.name, result])) }
}

/**
 * Does what a run would do, with the very statements it would use, for a few batches in one transaction, and rolls it all
 * back: the run itself, its ranges, and the rows.
 */
async function dryRun(deps: Site, request: StartRequest): Promise<DryRunReport> {
  // An id and a hash of its own: it must not use up a number, nor be in the way of a real run of the same job.
  const identity = { requestHash: '', idempotencyKey: null, createdBy: actor }
  const prepared = await prepareRun(deps, request, identity)
  const id = `dry-run-${randomUUID()}`
  const unplaced = { id, paramsHash: id, createdAt: new Date().toISOString(), databases: null }
  const run = { ...prepared.run, ...unplaced }
  try {
    return await createControl(deps.engine, deps.control.schema, () => takeSession(deps.engine)).transaction(
      async (tx) => {
        const report = await rehearse(tx, prepared, run)
        const repeats = await repeatWarnings(tx, prepared.run, request.again ?? false)
        throw new RolledBack({ ...report, warnings: [...repeats, ...report.warnings] })
      },
    )
  } catch (error) {
    if (error instanceof RolledBack) return error.report
    const { code } = error as { code?: string }
    if (code === undefined || error instanceof Problem || !concernsJob(error)) throw error
    throw new Problem(
      'invalid',
      `The dry run failed: ${describeFault(error)} [${code}]. ${
        answerTo(error) === 'bisect'
          ? 'A run sets rows that fail by themselves aside, up to maxQuarantined of them, and goes on. Mend the data or the job.'
          : 'So would a run. Mend the job.'
      }`,
      { sqlstate: code },
    )
  }
}

async function rehearse(
  tx: Control,
  { job, ranges, residual, space, settings }: Prepared,
  newRun: NewRun,
): Promise<DryRunReport> {
  const run = await createRun(tx, newRun, ranges, residual)
  const [first] = ranges
  if (!first)
    throw new Problem('conflict', `${quoteTableName(run.target)} has no row yet: there is nothing to rehearse.`)
  // By itself, whatever holds the run or is at work: all of it is taken back.
  const [ticket] = await assignTickets(tx, [{ runId: run.id, ordinal: 0, id: run.id, afterSeconds: 0 }])
  const lease = ticket && (await leaseRange(tx, ticket, actor, leaseSeconds))
  if (!lease) throw new Error('the dry run could not lease its own range')
  await changeStatus(tx, run.id, 'start', { actor })

  const author = <T>(work: () => Promise<T>) => asAuthor(tx.db, tx.s, run.target, work)
  const before = await author(() => sampleMatching(tx.db, run.target, job, samples, lease.leaf))
  const statements = updateStatements(tx.s, run.target, job, lease.leaf)
  const limit = Math.min(boundsOf(run.options).max, 1000)
  const done: RehearsedBatch[] = []
  let range = await rangeOf(tx, run.id, lease.ordinal)
  while (done.length < batches && !range.done) {
    const bounds = { cursor: range.cursor !== null, upper: range.upper !== null }
    const input = {
      runId: run.id,
      ordinal: lease.ordinal,
      epoch: lease.epoch,
      cursor: range.cursor,
      upper: range.upper,
      limit,
    }
    done.push(
      await author(() => rehearseBatch(tx.db, statements.window(bounds), { ...input, leaseSeconds, throttledMs: 0 })),
    )
    range = await rangeOf(tx, run.id, lease.ordinal)
  }
  const { count: stragglers } = await summariseStragglers(tx, run.id)
  const keys = before.map((row) => row.key)
  const after = await author(() => sampleByKey(tx.db, run.target, job, keys, lease.leaf))

  const seconds = done.reduce((sum, batch) => sum + batch.seconds, 0)
  const walBytes = done.reduce((sum, batch) => sum + batch.walBytes, 0)
  const rowsTotal = run.target.estimatedRows
  const share = range.rowsScanned === 0 ? null : rowsTotal / range.rowsScanned
  const changedKeys = new Map(after.map((row) => [JSON.stringify(row.key), row.columns]))
  return {
    job: run.job,
    table: quoteTableName(run.target),
    rowsTotal,
    batches: done.length,
    rowsScanned: range.rowsScanned,
    rowsMatched: range.rowsDone + stragglers,
    rowsChanged: range.rowsDone,
    rowsPerSecond: seconds === 0 ? 0 : Math.round(range.rowsScanned / seconds),
    samples: before.map((row) => ({ before: row.columns, after: changedKeys.get(JSON.stringify(row.key)) ?? null })),
    plan: done.at(-1)?.plan ?? null,
    estimate: {
      seconds: share === null ? null : Math.ceil(seconds * share),
      walBytes: share === null ? null : Math.round(walBytes * share),
    },
    space: space && tellSpace(space, run.options, await readHotUpdates(tx.db, run.target)),
    warnings: [
      ...settings,
      ...(await author(() => warnings(tx, statements.stillMatching(), keys, range.rowsDone, stragglers))),
    ],
  }
}

/** A run of a job without a predicate does rows once more that runs with the same parameters have done. */
async function repeatWarnings(tx: Control, { job, paramsHash, hasPredicate }: Prepared['run'], again: boolean) {
  if (hasPredicate) return []
  const done = await findSucceeded(tx, job, paramsHash)
  if (done !== null) {
    const refused = again ? '' : ' A run is refused unless "again" is true.'
    return [
      `Job ${job} has no predicate, and run ${done} has done every row with these parameters: a run does each of them once more.${refused}`,
    ]
  }
  const partly = await findPartlyDone(tx, job, paramsHash)
  if (!partly) return []
  return [
    `Job ${job} has no predicate, and run ${partly.id}, which is ${partly.status}, has done ${partly.rows} rows with these parameters: a new run does them once more.`,
  ]
}

async function rangeOf(tx: Control, runId: string, ordinal: number) {
  const range = (await listRanges(tx, runId)).find((candidate) => candidate.ordinal === ordinal)
  if (!range) throw new Error(`range ${ordinal} of the dry run is gone`)
  return range
}

async function warnings(
  tx: Control,
  check: ReturnType<ReturnType<typeof updateStatements>['stillMatching']>,
  keys: ReadonlyArray<readonly string[]>,
  changed: number,
  stragglers: number,
): Promise<string[]> {
  const found: string[] = []
  if (check && keys.length > 0) {
    const { rows } = await tx.db.query<{ count: number }>(check.text, [JSON.stringify(keys), ...check.values])
    const still = rows[0]?.count ?? 0
    if (still > 0) {
      found.push(
        `where still matches ${still} of the ${keys.length} sampled rows after set has changed them: a run would stop there. Change where so that set makes it false.`,
      )
    }
  }
  if (stragglers > 0) found.push(`${stragglers} rows were held by other sessions; a run comes back to them.`)
  if (changed > 0) found.push(`${changed} rows were changed and rolled back: as many dead tuples are left for vacuum.`)
  return found
}
