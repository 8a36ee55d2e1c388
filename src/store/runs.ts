import type { RunOptions } from '../core/job/options.ts'
import type { Target } from '../core/range/key.ts'
import { liveStatuses, type RunStatus, workableStatuses } from '../core/run/status.ts'
import type { Hold, Override } from '../core/throttle/hold.ts'
import { type Control, limitLockWait } from './control.ts'

/** A hold that has been written: by whom, and since when. */
export interface HoldRow extends Hold {
  readonly since: string
  readonly by: string
  /** When `by` last said so. */
  readonly seenAt: string
}

/** A run as it is stored. */
export interface Run {
  readonly id: string
  /** The one in its id. Of two runs of a database the later one has the higher number, whatever the clock did. */
  readonly number: number
  readonly job: string
  readonly params: unknown
  readonly paramsHash: string
  readonly fingerprint: string
  readonly target: Target
  readonly hasPredicate: boolean
  readonly options: RunOptions
  readonly status: RunStatus
  readonly reason: string | null
  readonly version: number
  readonly verifyRounds: number
  readonly hold: HoldRow | null
  /** How long holds that have ended lasted. Milliseconds. */
  readonly heldMs: number
  readonly overrides: readonly Override[]
  readonly requestHash: string
  /** The named databases that it spans, this one among them; null where there was but one, without a name. */
  readonly databases: readonly string[] | null
  readonly createdBy: string
  readonly createdAt: Date
  readonly startedAt: Date | null
  readonly endedAt: Date | null
  /** How long it was running, up to when it last began to; and since when it is, null while it is not. */
  readonly workedMs: number
  readonly workingSince: Date | null
}

const columns = `id, number::float8 AS number, job, params, params_hash AS "paramsHash", fingerprint, target, has_predicate AS "hasPredicate", options,
  status, reason, version::int, verify_rounds AS "verifyRounds", hold, held_ms::float8 AS "heldMs", overrides, request_hash AS "requestHash", databases, created_by AS "createdBy",
  created_at AS "createdAt", started_at AS "startedAt", ended_at AS "endedAt", worked_ms AS "workedMs", working_since AS "workingSince"`

export type NewRun = Pick<
  Run,
  | 'id'
  | 'job'
  | 'params'
  | 'paramsHash'
  | 'fingerprint'
  | 'target'
  | 'hasPredicate'
  | 'options'
  | 'requestHash'
  | 'databases'
  | 'createdBy'
> & {
  readonly idempotencyKey: string | null
  /** As Postgres writes it: the same to the microsecond in each database that the run spans. */
  readonly createdAt: string
}

/**
 * A number for a run that no run of this schema has, and at least `atLeast`; and the time by the same clock. Numbers only
 * grow, also between callers: none is given out twice.
 */
export async function drawRunNumber(
  { db, s }: Control,
  atLeast: number,
): Promise<{ readonly number: number; readonly at: string }> {
  const draw = async (count: number) => {
    const { rows } = await db.query<{ number: number; at: string }>(
      `SELECT max(n)::float8 AS number, clock_timestamp()::text AS at
       FROM (SELECT nextval('${s}.run_number') AS n FROM generate_series(1, $1::int)) AS drawn`,
      [count],
    )
    return rows[0] as { number: number; at: string }
  }
  const drawn = await draw(1)
  return drawn.number >= atLeast ? drawn : draw(atLeast - drawn.number)
}

/** Writes a new run. A second live one of the same job and parameters violates the index `runs_live` (23505). */
export async function insertRun({ db, s }: Control, run: NewRun): Promise<Run> {
  const { rows } = await db.query<Run>(
    `INSERT INTO ${s}.runs (id, job, params, params_hash, fingerprint, target, has_predicate, options, status,
       idempotency_key, request_hash, created_by, created_at, databases, number)
     VALUES ($1::text, $2, $3, $4, $5, $6, $7, $8, 'queued', $9, $10, $11, $12, $13,
       coalesce(substring($1::text FROM '[0-9]{1,18}$')::bigint, 0))
     RETURNING ${columns}`,
    [
      run.id,
      run.job,
      JSON.stringify(run.params),
      run.paramsHash,
      run.fingerprint,
      JSON.stringify(run.target),
      run.hasPredicate,
      JSON.stringify(run.options),
      run.idempotencyKey,
      run.requestHash,
      run.createdBy,
      run.createdAt,
      run.databases,
    ],
  )
  return rows[0] as Run
}

export async function findRun({ db, s }: Control, id: string): Promise<Run | null> {
  const { rows } = await db.query<Run>(`SELECT ${columns} FROM ${s}.runs WHERE id = $1`, [id])
  return rows[0] ?? null
}

/** The run, locked against every other change of its status or options until the transaction ends. */
export async function lockRun({ db, s }: Control, id: string): Promise<Run | null> {
  // NO KEY: a batch that writes stragglers takes a key share lock on this row, and must never wait for us while we
  // wait for its range.
  const { rows } = await db.query<Run>(`SELECT ${columns} FROM ${s}.runs WHERE id = $1 FOR NO KEY UPDATE`, [id])
  return rows[0] ?? null
}

/** How long a process that keeps a run's row waits for another row. Seconds. */
const keptSeconds = 1

/**
 * The same for what a process does by itself. A pause may need the row meanwhile, so the rest of the transaction waits only a
 * moment for other locks. Behind one that is kept for longer it fails with 55P03.
 */
export async function lockRunBriefly(tx: Control, id: string): Promise<Run | null> {
  const run = await lockRun(tx, id)
  await limitLockWait(tx, keptSeconds)
  return run
}

/** Of these runs those whose rows no other session has locked, locked as by `lockRunBriefly`. */
export async function lockFreeRuns(tx: Control, ids: readonly string[]): Promise<Run[]> {
  const { rows } = await tx.db.query<Run>(
    `SELECT ${columns} FROM ${tx.s}.runs WHERE id = ANY($1) ORDER BY id FOR NO KEY UPDATE SKIP LOCKED`,
    [ids],
  )
  await limitLockWait(tx, keptSeconds)
  return rows
}

export async function listRunsById({ db, s }: Control, ids: readonly string[]): Promise<Run[]> {
  const { rows } = await db.query<Run>(`SELECT ${columns} FROM ${s}.runs WHERE id = ANY($1)`, [ids])
  return rows
}

export async function findRunByIdempotencyKey({ db, s }: Control, key: string): Promise<Run | null> {
  const { rows } = await db.query<Run>(`SELECT ${columns} FROM ${s}.runs WHERE idempotency_key = $1`, [key])
  return rows[0] ?? null
}

/** The live run of a job with these parameters, if there is one. */
export async function findLiveRun({ db, s }: Control, job: string, paramsHash: string): Promise<Run | null> {
  const { rows } = await db.query<Run>(
    `SELECT ${columns} FROM ${s}.runs WHERE job = $1 AND params_hash = $2
       AND status IN ('queued', 'running', 'pausing', 'paused', 'cancelling', 'verifying')`,
    [job, paramsHash],
  )
  return rows[0] ?? null
}

/** The id of the last run of a job with these parameters that has succeeded; null where none has. */
export async function findSucceeded({ db, s }: Control, job: string, paramsHash: string): Promise<string | null> {
  const { rows } = await db.query<{ id: string }>(
    `SELECT id FROM ${s}.runs WHERE job = $1 AND params_hash = $2 AND status = 'succeeded' ORDER BY number DESC LIMIT 1`,
    [job, paramsHash],
  )
  return rows[0]?.id ?? null
}

/** The last run of a job with these parameters that ended otherwise after it had done rows; null where there is none. */
export async function findPartlyDone(
  { db, s }: Control,
  job: string,
  paramsHash: string,
): Promise<{ readonly id: string; readonly status: RunStatus; readonly rows: number } | null> {
  const { rows } = await db.query<{ id: string; status: RunStatus; rows: number }>(
    `SELECT n.id, n.status, done.rows FROM ${s}.runs n,
       LATERAL (SELECT coalesce(sum(rows_done), 0)::float8 AS rows FROM ${s}.ranges WHERE run_id = n.id) AS done
     WHERE n.job = $1 AND n.params_hash = $2 AND n.status IN ('cancelled', 'failed') AND done.rows > 0
     ORDER BY n.number DESC LIMIT 1`,
    [job, paramsHash],
  )
  return rows[0] ?? null
}

/** Where a run stands in the list of all, the same in each database that it spans. Later ones have the higher number. */
export type RunPlace = Pick<Run, 'id' | 'number'>

/** When a run was accepted, as Postgres writes it: to the microsecond. */
export async function readCreatedAt({ db, s }: Control, id: string): Promise<string | null> {
  const { rows } = await db.query<{ at: string }>(`SELECT created_at::text AS at FROM ${s}.runs WHERE id = $1`, [id])
  return rows[0]?.at ?? null
}

/** Newest first, beginning with the run at `from` where it is here. Ids are in one order in all databases, whatever their collations. */
export async function listRuns(
  { db, s }: Control,
  filter: { job: string | null; status: string | null; from: RunPlace | null; limit: number },
): Promise<Run[]> {
  const { rows } = await db.query<Run>(
    `SELECT ${columns} FROM ${s}.runs
      WHERE ($1::text IS NULL OR job = $1) AND ($2::text IS NULL OR status = $2)
        AND ($3::bigint IS NULL OR (number, id COLLATE "C") <= ($3::bigint, $4::text))
      ORDER BY number DESC, id COLLATE "C" DESC LIMIT $5`,
    [filter.job, filter.status, filter.from?.number ?? null, filter.from?.id ?? null, filter.limit],
  )
  return rows
}

export async function listRunIdsByStatus({ db, s }: Control, statuses: readonly RunStatus[]): Promise<string[]> {
  const { rows } = await db.query<{ id: string }>(
    `SELECT id FROM ${s}.runs WHERE status = ANY($1) ORDER BY number, id`,
    [statuses],
  )
  return rows.map((row) => row.id)
}

/** Runs that workers may work on, oldest first. */
export async function listWorkableRuns({ db, s }: Control): Promise<Run[]> {
  const { rows } = await db.query<Run>(`SELECT ${columns} FROM ${s}.runs WHERE status = ANY($1) ORDER BY number, id`, [
    workableStatuses,
  ])
  return rows
}

/** Runs that are live, oldest first. */
export async function listLiveRuns({ db, s }: Control): Promise<Run[]> {
  const { rows } = await db.query<Run>(`SELECT ${columns} FROM ${s}.runs WHERE status = ANY($1) ORDER BY number, id`, [
    liveStatuses,
  ])
  return rows
}

export async function updateOverrides({ db, s }: Control, id: string, overrides: readonly Override[]): Promise<Run> {
  const { rows } = await db.query<Run>(
    `UPDATE ${s}.runs SET overrides = $2, version = version + 1 WHERE id = $1 RETURNING ${columns}`,
    [id, JSON.stringify(overrides)],
  )
  return rows[0] as Run
}

export async function countRunsByStatus({ db, s }: Control): Promise<Array<{ status: RunStatus; count: number }>> {
  const { rows } = await db.query<{ status: RunStatus; count: number }>(
    `SELECT status, count(*)::int AS count FROM ${s}.runs GROUP BY status`,
  )
  return rows
}

/** How long the hold that a run is under has lasted, 0 without one. */
export const heldMsSql = `greatest(0, coalesce(extract(epoch FROM clock_timestamp() - (hold->>'since')::timestamptz) * 1000, 0))::bigint`

/** Writes a status; only `lifecycle.ts` calls it, with the row locked and the arrow checked. */
export async function updateStatus(
  { db, s }: Control,
  id: string,
  change: { status: RunStatus; reason: string | null; ended: boolean; verifyRounds: number },
): Promise<Run> {
  const { rows } = await db.query<Run>(
    `UPDATE ${s}.runs SET status = $2, reason = $3, version = version + 1, verify_rounds = $5,
       started_at = CASE WHEN $2 = 'running' THEN coalesce(started_at, clock_timestamp()) ELSE started_at END,
       ended_at = CASE WHEN $4 THEN clock_timestamp() END,
       worked_ms = worked_ms + CASE WHEN $2 = 'running' THEN 0 ELSE coalesce(greatest(0, extract(epoch FROM clock_timestamp() - working_since)), 0) * 1000 END,
       working_since = CASE WHEN $2 = 'running' THEN coalesce(working_since, clock_timestamp()) END,
       held_ms = held_ms + CASE WHEN $2 = ANY($6) THEN 0 ELSE ${heldMsSql} END,
       hold = CASE WHEN $2 = ANY($6) THEN hold END
     WHERE id = $1 RETURNING ${columns}`,
    [id, change.status, change.reason, change.ended, change.verifyRounds, workableStatuses],
  )
  return rows[0] as Run
}

/**
 * Writes the statuses of several runs, none of them `running`; only `everything.ts` calls it, as `updateStatus`. Why they stood where
 * they stood stays readable where no `why` is given.
 */
export async function updateStatuses(
  { db, s }: Control,
  moved: ReadonlyArray<{ readonly id: string; readonly to: RunStatus }>,
  why: { readonly reason: string | null } | null,
): Promise<void> {
  await db.query(
    `UPDATE ${s}.runs r SET status = m.status, reason = CASE WHEN $3 THEN $4 ELSE r.reason END, version = r.version + 1,
       ended_at = CASE WHEN NOT m.status = ANY($5) THEN clock_timestamp() END,
       worked_ms = r.worked_ms + coalesce(greatest(0, extract(epoch FROM clock_timestamp() - r.working_since)), 0) * 1000, working_since = NULL,
       held_ms = r.held_ms + CASE WHEN m.status = ANY($6) THEN 0 ELSE ${heldMsSql} END,
       hold = CASE WHEN m.status = ANY($6) THEN r.hold END
     FROM unnest($1::text[], $2::text[]) AS m (id, status) WHERE r.id = m.id`,
    [
      moved.map(({ id }) => id),
      moved.map(({ to }) => to),
      why !== null,
      why?.reason ?? null,
      liveStatuses,
      workableStatuses,
    ],
  )
}

/** Rows that an operator has sent back are none that somebody keeps adding. */
export async function forgetVerifyRounds({ db, s }: Control, id: string): Promise<void> {
  await db.query(`UPDATE ${s}.runs SET verify_rounds = 0 WHERE id = $1`, [id])
}

/** What a run waits for, said to people; no change of status, so no new version. An operator's own reason stands. */
export async function updateReason({ db, s }: Control, id: string, reason: string | null): Promise<void> {
  await db.query(
    `UPDATE ${s}.runs SET reason = $2
     WHERE id = $1 AND status = ANY($3) AND reason IS DISTINCT FROM $2`,
    [id, reason, workableStatuses],
  )
}

export async function updateOptions({ db, s }: Control, id: string, options: RunOptions): Promise<Run> {
  const { rows } = await db.query<Run>(
    `UPDATE ${s}.runs SET options = $2, version = version + 1 WHERE id = $1 RETURNING ${columns}`,
    [id, JSON.stringify(options)],
  )
  return rows[0] as Run
}

/** Somebody has said that the job as it is now is what this run shall do. */
export async function updateFingerprint({ db, s }: Control, id: string, fingerprint: string): Promise<void> {
  await db.query(`UPDATE ${s}.runs SET fingerprint = $2 WHERE id = $1`, [id, fingerprint])
}
