import { z } from 'zod'
import { phaseNames } from '../core/range/phase.ts'
import { type EventKind, eventKinds } from '../core/run/events.ts'
import { type RangeCount, rangeStates } from '../core/run/metrics-snapshot.ts'
import { liveStatuses, type RunStatus, runStatuses, workableStatuses } from '../core/run/status.ts'
import { statement } from '../postgres/statement.ts'
import { leaseHolds, wakesAt } from './clock.ts'
import type { Control } from './control.ts'

const countRangeStatesSql = statement(
  'countRangeStates',
  { runId: z.string(), phase: z.enum(phaseNames), state: z.enum(rangeStates), count: z.number() },
  (s) => `SELECT run_id AS "runId", phase, state, count(*)::int AS count FROM (
       SELECT run_id, phase, CASE WHEN done THEN 'done' WHEN ${leaseHolds('r.lease_until')} THEN 'leased'
         WHEN ${wakesAt('r')} > clock_timestamp() THEN 'waiting' WHEN ticket IS NOT NULL THEN 'queued' ELSE 'idle' END AS state
       FROM ${s}.ranges r WHERE run_id = ANY($1)) AS ranges
     GROUP BY run_id, phase, state`,
)

/** The number of ranges by run, phase and state. */
export async function countRangeStates(
  control: Control,
  runIds: readonly string[],
): Promise<Map<string, RangeCount[]>> {
  const counts = new Map<string, RangeCount[]>()
  for (const { runId, ...count } of await countRangeStatesSql.rows(control, [runIds]))
    counts.set(runId, [...(counts.get(runId) ?? []), count])
  return counts
}

// This goes from job to job along the index: there may be many thousands of runs of each.
const listLastEndedSql = statement(
  'listLastEnded',
  { job: z.string(), status: z.enum(runStatuses) },
  (s) => `WITH RECURSIVE jobs AS (
       SELECT min(job) AS job FROM ${s}.runs
       UNION ALL SELECT (SELECT min(n.job) FROM ${s}.runs n WHERE n.job > jobs.job) FROM jobs WHERE jobs.job IS NOT NULL
     )
     SELECT jobs.job, last.status FROM jobs, LATERAL (
       SELECT n.status, n.ended_at FROM ${s}.runs n WHERE n.job = jobs.job AND n.ended_at IS NOT NULL
       ORDER BY n.number DESC LIMIT 1) AS last
     WHERE last.ended_at > now() - make_interval(secs => $1)`,
)

/** The status of each job's last ended run, if it ended less than `seconds` ago. */
export function listLastEnded(control: Control, seconds: number): Promise<Array<{ job: string; status: RunStatus }>> {
  return listLastEndedSql.rows(control, [seconds])
}

const listFailedJobsSql = statement(
  'listFailedJobs',
  { job: z.string(), quarantined: z.number() },
  (
    s,
  ) => `SELECT f.job, sum((SELECT count(*) FROM ${s}.quarantine q WHERE q.run_id = f.id AND q.discarded_at IS NULL))::int AS quarantined
     FROM ${s}.runs f WHERE f.status = 'failed' AND NOT EXISTS (SELECT FROM ${s}.runs again
       WHERE again.job = f.job AND again.params_hash = f.params_hash AND again.number > f.number)
     GROUP BY f.job`,
)

/** Jobs with failed runs that were not run again, and the number of their rows in quarantine. */
export function listFailedJobs(control: Control): Promise<Array<{ job: string; quarantined: number }>> {
  return listFailedJobsSql.rows(control)
}

const listLastEventsSql = statement(
  'listLastEvents',
  { job: z.string(), event: z.enum(eventKinds), at: z.date() },
  (s) => `WITH told AS (
       SELECT id, job FROM ${s}.runs WHERE status = ANY($1)
       UNION SELECT id, job FROM ${s}.runs WHERE ended_at > now() - make_interval(secs => $2)
     )
     SELECT * FROM (
       SELECT told.job, kind.name AS event,
         max((SELECT max(e.at) FROM ${s}.events e WHERE e.run_id = told.id AND e.kind = kind.name)) AS at
       FROM told, unnest($3::text[]) AS kind (name) GROUP BY told.job, kind.name) AS last
     WHERE at IS NOT NULL`,
)

/** The last time of each kind of event, by job, over runs that are live or ended less than `seconds` ago. */
export function listLastEvents(
  control: Control,
  kinds: readonly EventKind[],
  seconds: number,
): Promise<Array<{ job: string; event: EventKind; at: Date }>> {
  return listLastEventsSql.rows(control, [liveStatuses, seconds, kinds])
}

const oldestTicketSecondsSql = statement(
  'oldestTicketSeconds',
  { seconds: z.number() },
  (
    s,
  ) => `SELECT coalesce(greatest(0, max(extract(epoch FROM clock_timestamp() - greatest(r.ticketed_at, ${wakesAt('r')})))), 0)::float8 AS seconds
     FROM ${s}.ranges r JOIN ${s}.runs n ON n.id = r.run_id WHERE r.ticket IS NOT NULL AND n.status = ANY($1)`,
)

/** How long the oldest waiting ticket could have been taken; 0 if none waits. Seconds. */
export async function oldestTicketSeconds(control: Control): Promise<number> {
  return (await oldestTicketSecondsSql.one(control, [workableStatuses])).seconds
}

const readWalBytesSql = statement(
  'readWalBytes',
  { bytes: z.number().nullable() },
  () => `SELECT CASE WHEN NOT pg_catalog.pg_is_in_recovery()
       THEN pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_insert_lsn(), '0/0')::float8 END AS bytes`,
)

/** WAL written since the cluster was created; null on a replica. Bytes. */
export async function readWalBytes(control: Control): Promise<number | null> {
  return (await readWalBytesSql.one(control)).bytes
}
