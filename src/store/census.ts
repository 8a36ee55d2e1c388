import type { RangeCount } from '../core/census.ts'
import { liveStatuses, workableStatuses } from '../core/run.ts'
import type { Control } from './control.ts'

/** Ranges by run, kind and what they are doing. */
export async function countRangeStates(
  { db, s }: Control,
  runIds: readonly string[],
): Promise<Map<string, RangeCount[]>> {
  const { rows } = await db.query<RangeCount & { runId: string }>(
    `SELECT run_id AS "runId", kind, state, count(*)::int AS count FROM (
       SELECT run_id, kind, CASE WHEN done THEN 'done' WHEN lease_until > clock_timestamp() THEN 'leased'
         WHEN wake_at > clock_timestamp() THEN 'waiting' WHEN ticket IS NOT NULL THEN 'queued' ELSE 'idle' END AS state
       FROM ${s}.ranges WHERE run_id = ANY($1)) AS ranges
     GROUP BY run_id, kind, state`,
    [runIds],
  )
  const counts = new Map<string, RangeCount[]>()
  for (const { runId, ...count } of rows) counts.set(runId, [...(counts.get(runId) ?? []), count])
  return counts
}

/** When each of these kinds of event last happened to a run that is live or ended less than `seconds` ago, by job. */
export async function listLastEvents(
  { db, s }: Control,
  kinds: readonly string[],
  seconds: number,
): Promise<Array<{ job: string; event: string; at: Date }>> {
  const { rows } = await db.query<{ job: string; event: string; at: Date }>(
    `SELECT n.job, e.kind AS event, max(e.at) AS at FROM ${s}.runs n JOIN ${s}.events e ON e.run_id = n.id
     WHERE (n.status = ANY($1) OR n.ended_at > clock_timestamp() - make_interval(secs => $2)) AND e.kind = ANY($3)
     GROUP BY n.job, e.kind`,
    [liveStatuses, seconds, kinds],
  )
  return rows
}

/** For how long the ticket that has waited longest could have been taken up, 0 where none waits. Seconds. */
export async function oldestTicketSeconds({ db, s }: Control): Promise<number> {
  const { rows } = await db.query<{ seconds: number }>(
    `SELECT coalesce(greatest(0, max(extract(epoch FROM clock_timestamp() - greatest(r.ticketed_at, r.wake_at)))), 0)::float8 AS seconds
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
