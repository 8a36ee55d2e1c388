import type { PoolClient } from 'pg'
import { type Backoff, backoffSeconds } from '../core/backoff.ts'
import { Problem } from '../core/errors.ts'
import { classifyError, describeFault, endsItsSession, faults } from '../core/fault.ts'
import { readParams } from '../core/job/job.ts'
import type { Leaf } from '../core/range/key.ts'
import { adviceToGrant } from '../core/sql/grant.ts'
import { isSqlState, sqlstateOf } from '../core/sqlstate.ts'
import { becomeAuthor } from '../engine/batch/author.ts'
import { maxBatchTime } from '../engine/batch/batch.ts'
import { readRowLock } from '../engine/batch/row-lock.ts'
import { prepareSession } from '../engine/batch/session.ts'
import { checkIdentity } from '../engine/inspect/identity.ts'
import { checkOperators } from '../engine/inspect/key.ts'
import { findLeaf } from '../engine/inspect/partitions.ts'
import type { ResolvedJob } from '../engine/kinds/kind.ts'
import { resolveJob } from '../engine/kinds/resolve.ts'
import { takeSession } from '../postgres/takeout.ts'
import type { Ticket } from '../queue/ticket.ts'
import { countFaults, type Lease, leaseRange, type Release, releaseRange } from '../store/leases.ts'
import { closeGoneRange } from '../store/rescue.ts'
import type { Run } from '../store/run.ts'
import { findRun } from '../store/runs.ts'
import { pingStore } from '../store/schema/instance.ts'
import { changeStatus, settleRun } from '../store/transitions.ts'
import type { Logger } from '../telemetry/logger.ts'
import { waitSeconds } from '../util/sleep.ts'
import { BatchLoop, type Faults } from './batch-loop.ts'
import type { WorkerDeps } from './deps.ts'
import { advance } from './dispatch.ts'
import { type Slot, WorkerLimiter } from './limiter.ts'
import { NoRowPasses } from './row-isolator.ts'

/** Tries to find a job. The waits between them grow to some seconds in all. */
const looksForJob = 4

const atOnce: Release = {
  wakeAfterSeconds: 0,
  attempts: 0,
  throttledMs: 0,
  batchSize: null,
  turnedAway: false,
  throttle: null,
}

/**
 * Works on one ticket: leases its range, works on it for some seconds, gives it back and lets the run have its next
 * tickets. Never throws. Errors are written to the run or the log, or left to the rescuer.
 */
export async function workSlice(
  deps: WorkerDeps,
  ticket: Omit<Ticket, 'delaySeconds'>,
  slot: Slot,
  stop: AbortSignal,
): Promise<void> {
  const log = deps.log.child({ run: ticket.runId, range: ticket.ordinal })
  try {
    // In a transaction, because a control schema that is newer than this program refuses it.
    const lease = await deps.control.transaction((tx) => leaseRange(tx, ticket, deps.name, deps.timings.leaseSeconds))
    if (!lease) {
      log.debug({ ticket: ticket.id }, 'ticket dropped: it is old, or its run may not be worked on')
      return
    }
    const counted: Faults = {}
    const brake = new WorkerLimiter(deps, lease, slot)
    const { release, loop } = await workLease(deps, lease, brake, stop, log, counted)
    if (Object.keys(counted).length > 0) await countFaults(deps.control, lease, counted)
    if (loop?.owes) {
      // If this was the last range, the run need not wait for our rest.
      await advance(deps, lease.runId)
      await loop.settle(stop)
    }
    if (!(await releaseRange(deps.control, lease, { ...release, throttledMs: brake.throttledMs })))
      log.info(
        'range not given back: another worker has it, or a batch still runs in it; the rescuer takes it when its lease runs out',
      )
    await advance(deps, lease.runId)
  } catch (error) {
    log.warn(
      { err: error },
      'slice ended before its range was given back or its next ticket was out; the rescuer will do that',
    )
    await untilAnswered(deps, stop)
  }
}

/**
 * Keeps the slot from taking a ticket while Postgres does not answer. It would only keep that ticket from other
 * workers.
 */
async function untilAnswered({ control, log }: WorkerDeps, stop: AbortSignal): Promise<void> {
  while (!stop.aborted) {
    try {
      return await pingStore(control)
    } catch (error) {
      log.debug({ err: error }, 'Postgres does not answer: no ticket is taken until it does')
      await waitSeconds(1, stop)
    }
  }
}

/** How a lease ends, with its batches if it came to any. */
interface Worked {
  readonly release: Release
  readonly loop?: BatchLoop | undefined
}

async function workLease(
  deps: WorkerDeps,
  lease: Lease,
  brake: WorkerLimiter,
  stop: AbortSignal,
  log: Logger,
  counted: Faults,
): Promise<Worked> {
  const accepted = await startedRun(deps, lease)
  if (!accepted) return { release: atOnce }
  let run = accepted
  deps.metrics.know(run.job)
  const found = await findJob(deps, run)
  if ('problem' in found) return { release: await withoutJob(deps, run, lease, found, log) }
  const { job } = found

  let client: PoolClient | undefined
  let broken: Error | undefined
  let loop: BatchLoop | undefined
  let leaf: Leaf | null = null
  try {
    client = await takeSession(deps.engine)
    run = { ...run, target: await checkIdentity(client, deps.control.s, run.target) }
    leaf = lease.leaf && (await findLeaf(client, deps.control.s, run.target, lease.leaf.oid))
    if (lease.leaf && !leaf) return { release: await closeGone(deps, lease, log) }
    const rowLock = await readRowLock(client, deps.control.s, run.target, leaf, job)
    await becomeAuthor(client, deps.control.s, run.target)
    await checkOperators(client, run.target)
    const longest = maxBatchTime.server * deps.timings.statementSeconds
    await prepareSession(client, run.target, leaf, run.options.synchronousCommit, longest)
    const locking = { ...run, target: { ...run.target, rowLock } }
    loop = new BatchLoop(deps, locking, job, { ...lease, leaf }, client, brake, log, counted)
    return { release: await loop.work(stop), loop }
  } catch (error) {
    if (client && leaf && isNoTable(error)) {
      // The partition was dropped, or renamed, and then its next lease finds it. If it is unchanged, the job uses
      // another table that does not exist.
      const now = await findLeaf(client, deps.control.s, run.target, leaf.oid)
      if (!now) return { release: await closeGone(deps, lease, log), loop }
      if (now.schema !== leaf.schema || now.table !== leaf.table) return { release: atOnce, loop }
    }
    // Counts failures in a row. A batch that passed under this lease starts a new count.
    const wait = (cause: unknown, held: string | null, passed = false): Release => {
      const attempts = passed ? 0 : lease.attempts
      log.warn({ err: cause, attempts: attempts + 1 }, 'turned away; the range is tried again')
      return { ...waitAfter(cause, held, lease.ordinal, attempts, deps.timings.retryBackoff), ...loop?.size }
    }
    if (error instanceof NoRowPasses) return { release: wait(error.cause, error.wait, loop?.hasPassed), loop }
    const fault = classifyError(error)
    const answer = faults[fault]
    deps.metrics.batchFaults.inc({ job_name: run.job, fault })
    counted[fault] = (counted[fault] ?? 0) + 1
    if (answer === 'hold' || answer === 'halve' || answer === 'leave') {
      // The outcome of the batch in flight is unknown. The next lease reads the cursor from the range's row.
      if (answer === 'hold' || endsItsSession(error)) broken = error as Error
      return { release: wait(error, null, loop?.hasCommitted), loop }
    }
    await failRun(deps, run, lease, error, log)
    return { release: atOnce, loop }
  } finally {
    client?.release(broken ?? loop?.sessionEnded)
  }
}

/**
 * Makes the range wait, longer after each failure in a row, with the reason. Trouble of this kind is not the job's and
 * never fails the run.
 */
function waitAfter(error: unknown, held: string | null, ordinal: number, attempts: number, backoff: Backoff): Release {
  const fault = classifyError(error)
  const wakeAfterSeconds = backoffSeconds(backoff, attempts, Math.random())
  const times = attempts === 0 ? '' : `, after ${attempts + 1} failures in a row`
  const throttle = {
    reason: `Range ${ordinal} waits ${wakeAfterSeconds.toFixed(1)} s and is tried again${times}: ${describeFault(error)}${held ? ` (${held})` : ''} [${sqlstateOf(error) ?? fault}].`,
    signal: fault,
    value: attempts + 1,
    limit: null,
    since: new Date().toISOString(),
  }
  return { ...atOnce, wakeAfterSeconds, attempts: attempts + 1, throttle }
}

function isNoTable(error: unknown): boolean {
  return isSqlState(error, 'undefined_table')
}

/** Ends the range: its partition was dropped or detached. Writes the event. */
async function closeGone({ control, name }: WorkerDeps, lease: Lease, log: Logger): Promise<Release> {
  log.warn({ partition: lease.leaf }, 'the range ends: its partition no longer belongs to the table')
  await closeGoneRange(control, lease, name)
  return atOnce
}

/** Returns the run, moved from `queued` to `running` if this is its first slice; null if it does not exist. */
async function startedRun(deps: WorkerDeps, lease: Lease): Promise<Run | null> {
  const run = await findRun(deps.control, lease.runId)
  if (run?.status !== 'queued') return run
  try {
    return await changeStatus(deps.control, lease.runId, 'start', { actor: deps.name })
  } catch (error) {
    if (!(error instanceof Problem)) throw error
    // Another worker has started it, or an operator has stopped it. The fence decides.
    return findRun(deps.control, lease.runId)
  }
}

/** Finds the job as the run was accepted with it, or the problem with it and whether that may pass. */
async function findJob(
  { registry, kinds }: WorkerDeps,
  { job: name, params, fingerprint }: Run,
): Promise<{ readonly job: ResolvedJob } | { readonly problem: string; readonly mayPass: boolean }> {
  try {
    const definition = await registry.find(name)
    const job = resolveJob(definition, await readParams(definition, params), kinds)
    if (job.fingerprint === fingerprint) return { job }
    const problem = `Job ${name} has changed since this run was accepted. Resume with {"acceptJobChange": true} to go on with the changed job, or cancel and start a new run.`
    return { problem, mayPass: false }
  } catch (error) {
    if (!(error instanceof Problem)) throw error
    return { problem: `A worker cannot load job ${name}: ${error.message}`, mayPass: true }
  }
}

/** Deploying files takes a moment. A missing or incomplete job is looked for again before the run is paused. */
async function withoutJob(
  deps: WorkerDeps,
  run: Run,
  lease: Lease,
  { problem: reason, mayPass }: { readonly problem: string; readonly mayPass: boolean },
  log: Logger,
): Promise<Release> {
  if (mayPass && lease.attempts < looksForJob) {
    const wakeAfterSeconds = backoffSeconds(deps.timings.retryBackoff, lease.attempts, Math.random())
    log.warn({ reason, attempts: lease.attempts + 1 }, 'cannot load the job; it is tried again')
    return { ...atOnce, wakeAfterSeconds, attempts: lease.attempts + 1 }
  }
  log.error({ reason }, 'run paused: its job has changed or cannot be loaded')
  try {
    await changeStatus(deps.control, run.id, 'pause', { actor: deps.name, reason, pause: 'job' })
  } catch (error) {
    if (!(error instanceof Problem)) throw error
  }
  await settleRun(deps.control, run.id, deps.timings.leaseSeconds, deps.name)
  return atOnce
}

async function failRun(deps: WorkerDeps, run: Run, lease: Lease, error: unknown, log: Logger): Promise<void> {
  const sqlstate = sqlstateOf(error)
  const reason =
    error instanceof Problem
      ? error.message
      : `A batch of range ${lease.ordinal} failed: ${describeFault(error)} [${sqlstate ?? 'no SQLSTATE'}]. Nothing of that batch was written. ${adviceToGrant(error as Error) ?? 'Fix the data or the job.'} Then retry.`
  log.error({ err: error }, 'run failed')
  try {
    await changeStatus(deps.control, run.id, 'fail', {
      actor: deps.name,
      reason,
      detail: { range: lease.ordinal, sqlstate, ...(error instanceof Problem ? error.details : {}) },
    })
  } catch (conflict) {
    // An operator paused or cancelled the run meanwhile, and that stays. The batch was never written, so nothing is
    // lost.
    if (!(conflict instanceof Problem)) throw conflict
    log.warn({ err: conflict }, 'cannot fail the run: it was stopped meanwhile')
  }
}
