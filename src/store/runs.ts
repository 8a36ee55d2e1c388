import type { Hold, Override } from '../core/hold.ts'
import type { Target } from '../core/key.ts'
import type { RunOptions } from '../core/options.ts'
import { liveStatuses, type RunStatus, workableStatuses } from '../core/run.ts'
import type { Control } from './control.ts'

/** A hold that has been written: by whom, and since when. */
export interface HoldRow extends Hold {
  readonly since: string
  readonly by: string
}

/** A run as it is stored. */
export interface Run {
  readonly id: string
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

const columns = `id, job, params, params_hash AS "paramsHash", fingerprint, target, has_predicate AS "hasPredicate", options,
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
       idempotency_key, request_hash, created_by, created_at, databases)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 'queued', $9, $10, $11, $12, $13)
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

/** Where a run stands in the list of all, the same in each database that it spans. Later ones sort higher, as text too. */
export interface RunPlace {
  readonly createdAt: string
  readonly id: string
}

const placeSql = `to_char(created_at, 'YYYY-MM-DD HH24:MI:SS.US') AS place`

export async function findRunPlace({ db, s }: Control, id: string): Promise<RunPlace | null> {
  const { rows } = await db.query<{ place: string }>(`SELECT ${placeSql} FROM ${s}.runs WHERE id = $1`, [id])
  return rows[0] ? { createdAt: rows[0].place, id } : null
}

/** Newest first, those after `before`: the last run of the previous page. */
export async function listRuns(
  { db, s }: Control,
  filter: { job: string | null; status: string | null; before: RunPlace | null; limit: number },
): Promise<Array<Run & { readonly place: string }>> {
  const { rows } = await db.query<Run & { place: string }>(
    `SELECT ${columns}, ${placeSql} FROM ${s}.runs
      WHERE ($1::text IS NULL OR job = $1) AND ($2::text IS NULL OR status = $2)
        AND ($3::timestamptz IS NULL OR (created_at, id) < ($3::timestamptz, $4::text))
      ORDER BY created_at DESC, id DESC LIMIT $5`,
    [filter.job, filter.status, filter.before?.createdAt ?? null, filter.before?.id ?? null, filter.limit],
  )
  return rows
}

export async function listRunIdsByStatus({ db, s }: Control, statuses: readonly RunStatus[]): Promise<string[]> {
  const { rows } = await db.query<{ id: string }>(
    `SELECT id FROM ${s}.runs WHERE status = ANY($1) ORDER BY created_at, id`,
    [statuses],
  )
  return rows.map((row) => row.id)
}

/** Runs that workers may work on, oldest first. */
export async function listWorkableRuns({ db, s }: Control): Promise<Run[]> {
  const { rows } = await db.query<Run>(
    `SELECT ${columns} FROM ${s}.runs WHERE status = ANY($1) ORDER BY created_at, id`,
    [workableStatuses],
  )
  return rows
}

/** Runs that are live, oldest first. */
export async function listLiveRuns({ db, s }: Control): Promise<Run[]> {
  const { rows } = await db.query<Run>(
    `SELECT ${columns} FROM ${s}.runs WHERE status = ANY($1) ORDER BY created_at, id`,
    [liveStatuses],
  )
  return rows
}

/**
 * Holds a run: from here on no batch of it begins, whichever process it is in. A hold that it is under already is brought
 * up to date by whoever wrote it, once a second; another process only takes it over when it has not been seen for `staleSeconds`.
 * Where there is nothing to write nothing is locked either: a database that is held for its load need not flush for that.
 * `began` is true where the run was not held before.
 */
export async function writeHold(
  { db, s }: Control,
  id: string,
  hold: Hold,
  by: string,
  staleSeconds: number,
): Promise<{ began: boolean }> {
  const { rows } = await db.query<{ began: boolean }>(
    `UPDATE ${s}.runs r SET hold = jsonb_build_object('reason', $2::text, 'signal', $3::text, 'value', $4::float8, 'limit', $5::float8,
       'since', coalesce(r.hold->>'since', ${nowSql}), 'by', $6::text, 'seenAt', ${nowSql})
     FROM (SELECT id, hold FROM ${s}.runs r WHERE id = $1 AND status = ANY($7) AND ${mineOrStale('$6', '$8')}
       AND (hold IS NULL OR hold->>'by' <> $6 OR hold->>'signal' <> $3 OR ${seenAgo('1')}) FOR NO KEY UPDATE) AS before
     WHERE r.id = before.id
     RETURNING before.hold IS NULL AS began`,
    [id, hold.reason, hold.signal, hold.value, hold.limit, by, workableStatuses, staleSeconds],
  )
  return rows[0] ?? { began: false }
}

/** Ends a hold that `by` has written, or that nobody keeps up. Null where there was none to end. */
export async function clearHold(
  { db, s }: Control,
  id: string,
  by: string,
  staleSeconds: number,
): Promise<{ hold: HoldRow; heldSeconds: number } | null> {
  const { rows } = await db.query<{ hold: HoldRow; heldSeconds: number }>(
    `UPDATE ${s}.runs r SET hold = NULL, held_ms = r.held_ms + before.ms
     FROM (SELECT id, hold, ${heldMsSql} AS ms FROM ${s}.runs r
       WHERE id = $1 AND hold IS NOT NULL AND ${mineOrStale('$2', '$3')} FOR NO KEY UPDATE) AS before
     WHERE r.id = before.id
     RETURNING before.hold, before.ms::float8 / 1000 AS "heldSeconds"`,
    [id, by, staleSeconds],
  )
  return rows[0] ?? null
}

const nowSql = `to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`

// Processes may see things differently: one that cannot read a signal must not be talked over by one that can.
function mineOrStale(by: string, staleSeconds: string): string {
  return `(r.hold IS NULL OR r.hold->>'by' = ${by} OR ${seenAgo(staleSeconds)})`
}

/** Whether a hold was last kept up so many seconds ago. */
function seenAgo(seconds: string): string {
  return `(r.hold->>'seenAt')::timestamptz < clock_timestamp() - make_interval(secs => ${seconds}::float8)`
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
const heldMsSql = `coalesce(extract(epoch FROM clock_timestamp() - (hold->>'since')::timestamptz) * 1000, 0)::bigint`

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
