import { randomUUID } from 'node:crypto'
import type { PoolClient } from 'pg'
import type { z } from 'zod'
import { Problem } from '../core/errors.ts'
import { concernsJob, describeFault, recoveryFrom } from '../core/fault.ts'
import { type KeyRange, spread } from '../core/range/range.ts'
import { quoteTableName } from '../core/sql/identifier.ts'
import { sqlstateOf } from '../core/sqlstate.ts'
import { batchSizeBounds } from '../core/throttle/batch-sizer.ts'
import { getLimit } from '../core/throttle/limits.ts'
import { asAuthor } from '../engine/batch/author.ts'
import { rolledBack, rolledBackIfFailed } from '../engine/batch/savepoint.ts'
import { checkConstraintsAtOnce, prepareSession } from '../engine/batch/session.ts'
import { findPlaces } from '../engine/inspect/places.ts'
import { type SampleRow, sampleByKey, sampleMatching } from '../engine/rehearse.ts'
import { readHotUpdates } from '../engine/space/measure.ts'
import { takeSession } from '../postgres/takeout.ts'
import { visibilityFault } from '../signals/visibility.ts'
import type { Control } from '../store/control.ts'
import { type Lease, leaseRange } from '../store/leases.ts'
import type { Run } from '../store/run.ts'
import { findPartlyDone, findSucceeded } from '../store/runs.ts'
import { assignTickets } from '../store/tickets.ts'
import { changeStatus, createRun } from '../store/transitions.ts'
import type { Database } from './database.ts'
import { chooseDatabases, validateAll } from './databases.ts'
import { reportDryRun, type Sample, type Seen } from './dry-run-report.ts'
import type { dryRunSchema, dryRunsSchema } from './dry-run-schemas.ts'
import { type Prepared, prepareRun, type StartRequest } from './prepare.ts'
import { type FailingRow, Rehearsal, type RehearsedWindow } from './rehearsal.ts'
import { askBy } from './space.ts'

export type DryRunReport = z.output<typeof dryRunSchema>
export type DryRunReports = z.output<typeof dryRunsSchema>

const maxWindows = 10
const rowsOfWindow = 1000
/** After this many rows no further window is needed. */
const rowsEnough = 3000
const maxSeconds = 10
const maxFailingInAll = 200
const maxSamples = 5
const leaseSeconds = 60
const actor = 'dry run'

/** A dry run in each database that the run would span. A single database without a name gives its report alone. */
export async function dryRunAll(
  databases: readonly Database[],
  request: StartRequest,
): Promise<DryRunReport | DryRunReports> {
  const places = chooseDatabases(databases, request.databases).map((db) => ({ db }))
  const done = await validateAll(places, `Cannot do a dry run of job ${request.job}`, ({ db }) => dryRun(db, request))
  const [only] = done
  if (only && only.db.name === null) return only.result
  return { job: request.job, databases: Object.fromEntries(done.map(({ db, result }) => [db.name, result])) }
}

/**
 * Executes a few batches with the statements of a real run, in one transaction, and rolls back everything: the run, its
 * ranges and the rows.
 */
async function dryRun(db: Database, request: StartRequest): Promise<DryRunReport> {
  // The dry run has an id and a hash of its own. It must not consume a run number or block a real run of the same job.
  const identity = { requestHash: '', idempotencyKey: null, createdBy: actor }
  const prepared = await prepareRun(db, request, identity)
  const { findings: refusals } = await db.checkReplicas(prepared.run.options)
  const repeats = await repeatWarnings(db.control, prepared.run, request.again ?? false)
  try {
    const { seen, blind } = await inRolledBackTransaction(db, async (client) => ({
      seen: await rehearse(client, db, prepared),
      blind: getLimit('foreground', prepared.run.options) && (await visibilityFault(askBy(client))),
    }))
    const report = reportDryRun(prepared, seen, { refusals, repeats, blind })
    return request.plan ? { ...report, plan: seen.explained?.plan ?? null } : report
  } catch (error) {
    const sqlstate = sqlstateOf(error)
    if (sqlstate === null || error instanceof Problem || !concernsJob(error)) throw error
    throw new Problem(
      'invalid',
      `The dry run failed: ${describeFault(error)} [${sqlstate}]. A run would fail too. Fix the job.`,
      { sqlstate },
    )
  }
}

/** Does the work in a transaction of an engine session and rolls it back. */
async function inRolledBackTransaction<T>({ engine }: Database, work: (client: PoolClient) => Promise<T>): Promise<T> {
  const client = await takeSession(engine)
  let broken: Error | undefined
  try {
    await client.query('BEGIN')
    return await work(client)
  } finally {
    // A connection that cannot roll back must not return to the pool: its next user would be in our transaction.
    await client.query('ROLLBACK').catch((failed: Error) => {
      broken = failed
    })
    client.release(broken)
  }
}

async function rehearse(client: PoolClient, { control: { s, schema } }: Database, prepared: Prepared): Promise<Seen> {
  const { job, ranges, run: newRun } = prepared
  const { target, options } = newRun
  await prepareSession(client, target, ranges[0]?.leaf ?? null, options.synchronousCommit, leaseSeconds)
  const author = <T>(work: () => Promise<T>) => asAuthor(client, s, target, work)
  const places = await author(() => findPlaces(client, target, job, ranges, maxWindows, rowsOfWindow))
  const windows = spread(places.windows)
  // The windows that are worked on last, if at all. A window that was touched before is not as a run would find it.
  const [timed, explored] = [windows.at(-1), windows.at(-2) ?? windows.at(-1)]
  if (!timed || !explored)
    throw new Problem(
      'conflict',
      `Table ${quoteTableName(target)} is empty, so a dry run has no rows to try. Insert rows first.`,
    )

  const id = `dry-run-${randomUUID()}`
  const tx: Control = { db: client, s, schema, transaction: (work) => work(tx) }
  const unplaced = { id, paramsHash: id, createdAt: new Date().toISOString(), databases: null }
  const phased = [...windows, explored, timed, timed].map((window) => ({ ...window, phase: 'keys' as const }))
  const run = await createRun(tx, { ...newRun, ...unplaced }, phased)
  await changeStatus(tx, run.id, 'start', { actor })
  await checkConstraintsAtOnce(client)

  const rehearsal = new Rehearsal(client, s, run, job)
  const hot = new HotUpdates(client, run)
  const most = Math.min(batchSizeBounds(options).max, rowsOfWindow)
  const leases: Lease[] = []
  for (let ordinal = 0; ordinal < windows.length + 3; ordinal += 1) leases.push(await leaseOf(tx, run, ordinal))
  const [exploring, timing, again] = leases.slice(-3) as [Lease, Lease, Lease]
  const { limit, cost } = await author(async () => {
    await rehearsal.prepare(timing)
    return rehearsal.time(timing, job.where && again, most)
  })
  const explained = await hot.counting(() => author(() => rehearsal.explain(exploring, limit)))

  const endsAt = performance.now() + maxSeconds * 1000
  const done: RehearsedWindow[] = []
  const samples: Sample[] = []
  for (const [index, window] of windows.entries()) {
    const failing = done.reduce((sum, seen) => sum + seen.failing.length, 0)
    const gone = done.reduce((sum, seen) => sum + seen.done + seen.left, failing)
    const maxFailing = Math.min(maxFailingInAll, options.maxQuarantined) - failing
    const last = done.at(-1)
    if (last?.endless || last?.stopped || maxFailing < 0 || gone >= rowsEnough) break
    // Each window is rolled back at once, so its rows are locked no longer than that.
    await rolledBack(client, async () => {
      const lease = leases[index] as Lease
      const before = await author(() => samplesOf(client, prepared, window, maxSamples - samples.length))
      const work = () => author(() => rehearsal.work(lease, { limit, rows: rowsOfWindow, maxFailing, endsAt }))
      const seen = window === explored || window === timed ? await work() : await hot.counting(work)
      const keys = before.map(({ key }) => key)
      const after = await author(() => sampleByKey(client, target, job, keys, window.leaf))
      samples.push(...pairs(before, after, seen.failing))
      done.push(seen)
    })
  }
  return {
    places,
    windows: done,
    samples,
    explained: explained && { ...explained, oid: explored.leaf?.oid ?? target.oid },
    cost,
    hot: hot.counts,
    deadRows: (await readHotUpdates(client, target)).updated,
  }
}

/** Empty if the predicate fails for a row of the window: the report lists that row as failing. */
async function samplesOf(client: PoolClient, prepared: Prepared, window: KeyRange, most: number): Promise<SampleRow[]> {
  const { job, run } = prepared
  try {
    return await rolledBackIfFailed(client, () => sampleMatching(client, run.target, job, window, rowsOfWindow, most))
  } catch (error) {
    if (recoveryFrom(error) === 'bisect') return []
    throw error
  }
}

/** Without a predicate, a run repeats rows that runs with the same parameters have done. */
async function repeatWarnings(
  control: Database['control'],
  { job, paramsHash, hasPredicate }: Prepared['run'],
  again: boolean,
) {
  if (hasPredicate) return []
  const done = await findSucceeded(control, job, paramsHash)
  if (done !== null) {
    const refused = again ? '' : ' A start is refused unless "again" is true.'
    return [
      `Job ${job} has no predicate, and run ${done} has done every row with these parameters. A run would do each of them again.${refused}`,
    ]
  }
  const partly = await findPartlyDone(control, job, paramsHash)
  if (!partly) return []
  return [
    `Job ${job} has no predicate, and run ${partly.id} (${partly.status}) has done ${partly.rows} rows with these parameters. A new run would do them again.`,
  ]
}

/** Leases a range without regard to holds and other workers: everything is rolled back. */
async function leaseOf(tx: Control, run: Run, ordinal: number): Promise<Lease> {
  const [ticket] = await assignTickets(tx, [{ runId: run.id, ordinal, id: `${run.id} ${ordinal}`, afterSeconds: 0 }])
  const lease = ticket && (await leaseRange(tx, ticket, actor, leaseSeconds))
  if (!lease) throw new Error('the dry run could not lease its own range')
  return lease
}

/** A failing row keeps its old version, which is not a result of the run. */
function pairs(before: readonly SampleRow[], after: readonly SampleRow[], failing: readonly FailingRow[]): Sample[] {
  const failed = new Set(failing.map(({ key }) => JSON.stringify(key)))
  const changed = new Map(after.map(({ key, columns }) => [JSON.stringify(key), columns]))
  return before.map(({ key, columns }) => {
    const name = JSON.stringify(key)
    return { before: columns, after: failed.has(name) ? null : (changed.get(name) ?? null) }
  })
}

/** Counts updates of the table within the transaction. Only the first touch of a page is as a run would find it. */
class HotUpdates {
  readonly #client: PoolClient
  readonly #run: Run
  counts = { updated: 0, hot: 0 }

  constructor(client: PoolClient, run: Run) {
    this.#client = client
    this.#run = run
  }

  async counting<T>(work: () => Promise<T>): Promise<T> {
    const before = await readHotUpdates(this.#client, this.#run.target)
    const result = await work()
    const after = await readHotUpdates(this.#client, this.#run.target)
    const { updated, hot } = this.counts
    this.counts = { updated: updated + after.updated - before.updated, hot: hot + after.hot - before.hot }
    return result
  }
}
