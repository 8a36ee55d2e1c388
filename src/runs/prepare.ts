import type { PoolClient } from 'pg'
import type { z } from 'zod'
import { Problem } from '../core/errors.ts'
import { hashParams, type JobDefinition, readParams } from '../core/job/job.ts'
import { defaultRunOptions, mergeOptions, type RunOptions } from '../core/job/options.ts'
import type { Target } from '../core/range/key.ts'
import type { KeyRange } from '../core/range/range.ts'
import { tellSettings } from '../core/sql/settings.ts'
import { readOwnSettings } from '../engine/batch/author.ts'
import { inspectTarget } from '../engine/inspect/inspect.ts'
import type { ResolvedJob } from '../engine/kinds/kind.ts'
import { resolveJob } from '../engine/kinds/resolve.ts'
import { planRanges } from '../engine/ranges/plan.ts'
import { takeSession } from '../postgres/takeout.ts'
import { advanceRun } from '../store/dispatch.ts'
import type { Run } from '../store/run.ts'
import type { NewRun } from '../store/run-changes.ts'
import type { Database, ReplicaCheck } from './database.ts'
import type { startRunSchema } from './request-schemas.ts'
import { describeSpace, measureSpace, type SpaceMeasurement, type SpaceReport } from './space.ts'

export type StartRequest = z.output<typeof startRunSchema>

/** A checked request: the job resolved, the table inspected, the ranges planned. */
export interface Prepared {
  readonly job: ResolvedJob
  readonly run: Omit<NewRun, 'id' | 'createdAt' | 'databases'>
  /** The ranges of the key space. */
  readonly ranges: readonly KeyRange[]
  /** The measurements for the growth forecast; null if they cannot be read. */
  readonly space: SpaceMeasurement | null
  /** Differences between the job's SQL in a run and in psql, in words. */
  readonly settings: readonly string[]
}

/** The forecast kept in the run's first event. */
export function forecast({ space, run, settings }: Prepared): {
  space?: string
  findings: SpaceReport['findings']
} {
  const report = space && describeSpace(space, run.options)
  if (!report) return { findings: [...settings] }
  return { space: report.summary, findings: [...settings, ...report.findings] }
}

/** Checks a request against the job, the table and the privileges. Throws a Problem with all findings. */
export async function prepareRun(
  deps: Database,
  request: StartRequest,
  identity: Pick<NewRun, 'requestHash' | 'idempotencyKey' | 'createdBy'>,
): Promise<Prepared> {
  const definition: JobDefinition = await deps.registry.find(request.job)
  const read = async () => resolveJob(definition, await readParams(definition, request.params), deps.kinds)
  const job = await read()
  refuseUnstable(job, await read())
  const options: RunOptions = mergeOptions(defaultRunOptions, definition.options ?? {}, request.options ?? {})
  return withEngine(deps, async (client) => {
    const target = await inspectTarget(client, deps.control.s, job)
    const ranges = await planRanges(client, deps.control.s, target, options.parallelism)
    return {
      job,
      ranges,
      space: await measureSpace(deps, client, target, job),
      settings: tellSettings(await readOwnSettings(client), target.settings ?? {}),
      run: {
        ...identity,
        job: job.name,
        params: request.params ?? {},
        paramsHash: hashParams(job.params),
        fingerprint: job.fingerprint,
        target,
        hasPredicate: job.where !== null,
        options,
      },
    }
  })
}

/** Refuses the run now if its replicas cannot be watched. It would be held at its first batch otherwise. */
export async function refuseUnwatched(
  { checkReplicas }: Database,
  { job, options }: Prepared['run'],
): Promise<ReplicaCheck['standbys']> {
  const { findings, standbys } = await checkReplicas(options)
  if (findings.length === 0) return standbys
  throw new Problem('conflict', `Job ${job} cannot start: its replicas cannot be watched. ${findings.join(' ')}`, {
    findings,
  })
}

/** Refuses a job that changes each time it is read: the first worker would pause its run as changed. */
function refuseUnstable(job: ResolvedJob, again: ResolvedJob): void {
  if (job.fingerprint === again.fingerprint && hashParams(job.params) === hashParams(again.params)) return
  throw new Problem(
    'invalid',
    `Job ${job.name} changes each time it is read: its where, set or defaults contain a clock or a random value. Make the value a parameter, or let Postgres compute it (now(), random()).`,
  )
}

/**
 * Puts the next tickets of a run on the queue. An unreachable queue is not an error for the caller: the run is in
 * Postgres, and the rescuer writes its tickets once the queue is back.
 */
export async function dispatch({ control, queue, log }: Database, runId: string, actor: string): Promise<void> {
  const { tickets } = await advanceRun(control, runId, actor)
  await queue.put(tickets).catch((error: unknown) => {
    log.warn({ err: error, run: runId }, 'tickets could not be put on the queue; the rescuer will write them again')
  })
}

/**
 * The fingerprint of a run's job as it is in the jobs folder now. Throws a Problem if it differs from the accepted one,
 * unless `accept` is true. Even then throws one if the run's cursors, bounds and proof would not fit the changed job.
 */
export async function currentFingerprint(deps: Database, run: Run, accept: boolean): Promise<string> {
  const definition = await deps.registry.find(run.job)
  const job = resolveJob(definition, await readParams(definition, run.params), deps.kinds)
  if (job.fingerprint === run.fingerprint) return job.fingerprint
  if (!accept) {
    throw new Problem(
      'conflict',
      `Job ${run.job} has changed since run ${run.id} was accepted: the rows done so far used another definition. Send {"acceptJobChange": true} to continue with the current job, or cancel this run and start a new one.`,
      { accepted: run.fingerprint, current: job.fingerprint },
    )
  }
  const target = await withEngine(deps, (client) => inspectTarget(client, deps.control.s, job))
  // The columns of the key and the strength of the row lock are checked at each lease.
  const place = ({ schema, table, oid, key, partitioned }: Target) =>
    hashParams({ schema, table, oid, key: key.map(({ name }) => name), partitioned })
  if (place(target) === place(run.target) && (job.where !== null) === run.hasPredicate) return job.fingerprint
  throw new Problem(
    'conflict',
    `Run ${run.id} cannot continue: job ${run.job} now works on another table or key, or has gained or lost its predicate. Cancel this run and start a new one.`,
    { accepted: run.target, current: target },
  )
}

async function withEngine<T>({ engine }: Database, work: (client: PoolClient) => Promise<T>): Promise<T> {
  const client = await takeSession(engine)
  try {
    return await work(client)
  } finally {
    client.release()
  }
}
