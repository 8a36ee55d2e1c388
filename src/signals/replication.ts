import { z } from 'zod'
import type { Ask } from '../postgres/ask.ts'
import { type RowOf, requireRow, statement } from '../postgres/statement.ts'
import { inRecovery, mayNotSee } from './messages.ts'

/** Which standbys count: none, all that stream, or those with these names, each as often as it is listed. */
export type ReplicaPolicy =
  | { readonly kind: 'none' }
  | { readonly kind: 'auto' }
  | { readonly kind: 'named'; readonly names: readonly string[] }

/** A physical standby that streams and reports its replay position. */
export interface Standby {
  /** Pid of its walsender on the primary. There is one per connection, so a standby that reconnects has another. */
  readonly pid: number
  /** Its application_name. Several standbys may have the same one. */
  readonly name: string
  /** Its replay position. Bytes of WAL. */
  readonly replayed: bigint
  /** Replay lag as measured by the primary. Seconds. Null until measured, and while there was nothing to replay. */
  readonly replaySeconds: number | null
}

/** The primary's position and its standbys, or why they are unknown. */
export type Replication =
  | { readonly unknown: string }
  | { readonly unknown: null; readonly position: bigint; readonly standbys: readonly Standby[] }

/**
 * Only physical standbys count. Consumers of logical slots belong to the signal `slots`. Programs that only receive WAL
 * (pg_receivewal, a base backup) never report a replay position.
 */
const readReplicationSql = statement(
  'replication',
  {
    role: z.string(),
    in_recovery: z.boolean(),
    readable: z.boolean(),
    position: z.string().nullable(),
    pid: z.number().nullable(),
    name: z.string().nullable(),
    state: z.string().nullable(),
    replayed: z.string().nullable(),
    replay_seconds: z.number().nullable(),
    logical: z.boolean(),
  },
  // Read the primary's position first and once. A standby that has everything might seem behind it otherwise.
  `WITH here AS MATERIALIZED (
      SELECT current_user::text AS role, pg_catalog.pg_is_in_recovery() AS in_recovery,
        pg_catalog.pg_has_role(current_user, 'pg_read_all_stats', 'USAGE') AS readable,
        CASE WHEN NOT pg_catalog.pg_is_in_recovery()
          THEN pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_lsn(), '0/0')::text END AS position
    )
    SELECT here.*, r.pid, r.application_name AS name, r.state,
      pg_catalog.pg_wal_lsn_diff(r.replay_lsn, '0/0')::text AS replayed,
      extract(epoch FROM r.replay_lag)::float8 AS replay_seconds,
      coalesce(s.slot_type = 'logical', false) AS logical
    FROM here
    LEFT JOIN pg_catalog.pg_stat_replication r ON true
    LEFT JOIN pg_catalog.pg_replication_slots s ON s.active_pid = r.pid`,
)

export async function readReplication(ask: Ask): Promise<Replication> {
  const rows = await ask(readReplicationSql)
  const here = requireRow(readReplicationSql, rows)
  const walsenders = rows.filter(({ pid }) => pid !== null)
  if (here.in_recovery || here.position === null) return { unknown: inRecovery }
  // Without the right, every column but pid and name is NULL. Without a row, a missing right would look like no
  // standby.
  if (walsenders.length === 0 ? !here.readable : walsenders.some(({ state }) => state === null)) {
    return { unknown: mayNotSee(here.role, 'the standbys (pg_stat_replication)') }
  }
  return { unknown: null, position: BigInt(here.position), standbys: walsenders.flatMap(standbyOf) }
}

function standbyOf({
  pid,
  name,
  state,
  replayed,
  replay_seconds,
  logical,
}: RowOf<typeof readReplicationSql>): Standby[] {
  const streams = state === 'streaming' || state === 'catchup'
  if (!streams || logical || pid === null || replayed === null) return []
  return [{ pid, name: name ?? '', replayed: BigInt(replayed), replaySeconds: replay_seconds }]
}

/** The standbys that count under the policy. */
export function countedBy(policy: ReplicaPolicy, standbys: readonly Standby[]): readonly Standby[] {
  if (policy.kind === 'none') return []
  return policy.kind === 'auto' ? standbys : standbys.filter(({ name }) => policy.names.includes(name))
}

/** Counts each name. */
export function countNames(names: Iterable<string>): Map<string, number> {
  const counts = new Map<string, number>()
  for (const name of names) counts.set(name, (counts.get(name) ?? 0) + 1)
  return counts
}
