import type { RangeCount } from '../core/run/metrics-snapshot.ts'
import { liveStatuses, type RunStatus, workableStatuses } from '../core/run/status.ts'
import { leaseHolds, wakesAt } from './clock.ts'
import type { Control } from './control.ts'

/** Ranges by run, kind and what they are doing. */
export async function countRangeStates(
  { db, s }: Control,
  runIds: readonly string[],
): Promise<Map<string, RangeCount[]>> {
  const { rows } = await db.query<RangeCount & { runId: string }>(
    `SELECT run_id AS "runId", kind, state, count(*)::int AS count FROM (
       SELECT run_id, kind, CASE WHEN done THEN 'done' WHEN ${leaseHolds('r.lease_until')} THEN 'leased'
         WHEN ${wakesAt('r')} > clock_timestamp() THEN 'waiting' WHEN ticket IS NOT NULL THEN 'queued' ELSE 'idle' END AS state
       FROM ${s}.ranges r WHERE run_id = ANY($1)) AS ranges
     GROUP BY run_id, kind, state`,
    [runIds],
  )
  const counts = new Map<string, RangeCount[]>()
  for (const { runId, ...count } of rows) counts.set(runId, [...(counts.get(runId) ?? []), count])
  return counts
}

/** The status of the last run of each job that has ended, where that was less than `seconds` ago. */
export async function listLastEnded(
  { db, s }: Control,
  seconds: number,
): Promise<Array<{ job: string; status: RunStatus }>> {
  // From job to job along the index: there may be many thousand runs behind each.
  const { rows } = await db.query<{ job: string; status: RunStatus }>(
    `WITH RECURSIVE jobs AS (
       SELECT min(job) AS job FROM ${s}.runs
       UNION ALL SELECT (SELECT min(n.job) FROM ${s}.runs n WHERE n.job > jobs.job) FROM jobs WHERE jobs.job IS NOT NULL
     )
     SELECT jobs.job, last.status FROM jobs, LATERAL (
       SELECT n.status, n.ended_at FROM ${s}.runs n WHERE n.job = jobs.job AND n.ended_at IS NOT NULL
       ORDER BY n.number DESC LIMIT 1) AS last
     WHERE last.ended_at > now() - make_interval(secs => $1)`,
    [seconds],
  )
  return rows
}

/** Jobs with runs that have failed and were not run again, with how many of their rows are in quarantine. */
export async function listFailedJobs({ db, s }: Control): Promise<Array<{ job: string; quarantined: number }>> {
  const { rows } = await db.query<{ job: string; quarantined: number }>(
    `SELECT f.job, sum((SELECT count(*) FROM ${s}.quarantine q WHERE q.run_id = f.id AND q.discarded_at IS NULL))::int AS quarantined
     FROM ${s}.runs f WHERE f.status = 'failed' AND NOT EXISTS (SELECT FROM ${s}.runs again
       WHERE again.job = f.job AND again.params_hash = f.params_hash AND again.number > f.number)
     GROUP BY f.job`,
  )
  return rows
}

/** When each of these kinds of event last happened to a run that is live or ended less than `seconds` ago, by job. */
export async function listLastEvents(
  { db, s }: Control,
  kinds: readonly string[],
  seconds: number,
): Promise<Array<{ job: string; event: string; at: Date }>> {
  const { rows } = await db.query<{ job: string; event: string; at: Date }>(
    `WITH told AS (
       SELECT id, job FROM ${s}.runs WHERE status = ANY($1)
       UNION SELECT id, job FROM ${s}.runs WHERE ended_at > now() - make_interval(secs => $2)
     )
     SELECT * FROM (
       SELECT told.job, kind.name AS event,
         max((SELECT max(e.at) FROM ${s}.events e WHERE e.run_id = told.id AND e.kind = kind.name)) AS at
       FROM told, unnest($3::text[]) AS kind (name) GROUP BY told.job, kind.name) AS last
     WHERE at IS NOT NULL`,
    [liveStatuses, seconds, kinds],
  )
  return rows
}

/** For how long the ticket that has waited longest could have been taken up, 0 where none waits. Seconds. */
export async function oldestTicketSeconds({ db, s }: Control): Promise<number> {
  const { rows } = await db.query<{ seconds: number }>(
    `SELECT coalesce(greatest(0, max(extract(epoch FROM clock_timestamp() - greatest(r.ticketed_at, ${wakesAt('r')})))), 0)::float8 AS seconds
     FROM ${s}.ranges r JOIN ${s}.runs n ON n.id = r.run_id WHERE r.ticket IS NOT NULL AND n.status = ANY($1)`,
    [workableStatuses],
  )
  return rows[0]?.seconds ?? 0
}

/** WAL that the cluster has written since it was made; null on a server that only replays. */
export async function readWalBytes({ db }: Control): Promise<number | null> {
  const { rows } = await db.query<{ bytes: number | null }>(
    `SELECT CASE WHEN NOT pg_catalog.pg_is_in_recovery()
       THEN pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_insert_lsn(), '0/0')::float8 END AS bytes`,
  )
  return rows[0]?.bytes ?? null
}
