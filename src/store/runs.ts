import type { Target } from '../core/key.ts'
import type { RunOptions } from '../core/options.ts'
import { type RunStatus, workableStatuses } from '../core/run.ts'
import type { Control } from './control.ts'

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
  readonly requestHash: string
  readonly createdBy: string
  readonly createdAt: Date
  readonly startedAt: Date | null
  readonly endedAt: Date | null
}

const columns = `id, job, params, params_hash AS "paramsHash", fingerprint, target, has_predicate AS "hasPredicate", options,
  status, reason, version::int, verify_rounds AS "verifyRounds", request_hash AS "requestHash", created_by AS "createdBy",
  created_at AS "createdAt", started_at AS "startedAt", ended_at AS "endedAt"`

export type NewRun = Pick<
  Run,
  'job' | 'params' | 'paramsHash' | 'fingerprint' | 'target' | 'hasPredicate' | 'options' | 'requestHash' | 'createdBy'
> & {
  readonly idempotencyKey: string | null
  /** Where absent: the job's name and the next number. */
  readonly id?: string
}

/** Writes a new run. A second live one of the same job and parameters violates the index `runs_live` (23505). */
export async function insertRun({ db, s }: Control, run: NewRun): Promise<Run> {
  const { rows } = await db.query<Run>(
    `INSERT INTO ${s}.runs (id, job, params, params_hash, fingerprint, target, has_predicate, options, status,
       idempotency_key, request_hash, created_by)
     VALUES (coalesce($11, $1::text || '-' || nextval('${s}.run_number')), $1, $2, $3, $4, $5, $6, $7, 'queued', $8, $9, $10)
     RETURNING ${columns}`,
    [
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
      run.id ?? null,
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

/** Newest first. `before` is the id of the last run of the previous page. */
export async function listRuns(
  { db, s }: Control,
  filter: { job: string | null; status: string | null; before: string | null; limit: number },
): Promise<Run[]> {
  const { rows } = await db.query<Run>(
    `SELECT ${columns} FROM ${s}.runs
      WHERE ($1::text IS NULL OR job = $1) AND ($2::text IS NULL OR status = $2)
        AND ($3::text IS NULL OR (created_at, id) < (SELECT created_at, id FROM ${s}.runs WHERE id = $3))
      ORDER BY created_at DESC, id DESC LIMIT $4`,
    [filter.job, filter.status, filter.before, filter.limit],
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

export async function countRunsByStatus({ db, s }: Control): Promise<Array<{ status: RunStatus; count: number }>> {
  const { rows } = await db.query<{ status: RunStatus; count: number }>(
    `SELECT status, count(*)::int AS count FROM ${s}.runs GROUP BY status`,
  )
  return rows
}

/** Writes a status; only `lifecycle.ts` calls it, with the row locked and the arrow checked. */
export async function updateStatus(
  { db, s }: Control,
  id: string,
  change: { status: RunStatus; reason: string | null; ended: boolean; verifyRounds: number },
): Promise<Run> {
  const { rows } = await db.query<Run>(
    `UPDATE ${s}.runs SET status = $2, reason = $3, version = version + 1, verify_rounds = $5,
       started_at = CASE WHEN $2 = 'running' THEN coalesce(started_at, clock_timestamp()) ELSE started_at END,
       ended_at = CASE WHEN $4 THEN clock_timestamp() END
     WHERE id = $1 RETURNING ${columns}`,
    [id, change.status, change.reason, change.ended, change.verifyRounds],
  )
  return rows[0] as Run
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
