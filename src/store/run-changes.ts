import type { RunOptions } from '../core/job/options.ts'
import { liveStatuses, type RunStatus, workableStatuses } from '../core/run/status.ts'
import type { Override } from '../core/throttle/hold.ts'
import { command, statement } from '../postgres/statement.ts'
import type { Control } from './control.ts'
import { heldMsSql, type Run, runColumns, runColumnsSql } from './run.ts'

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
  /** As Postgres writes it. Identical to the microsecond in each database that the run spans. */
  readonly createdAt: string
}

const insertRunSql = statement(
  'insertRun',
  runColumns,
  (s) => `INSERT INTO ${s}.runs (id, job, params, params_hash, fingerprint, target, has_predicate, options, status,
       idempotency_key, request_hash, created_by, created_at, databases, number)
     VALUES ($1::text, $2, $3, $4, $5, $6, $7, $8, 'queued', $9, $10, $11, $12, $13,
       coalesce(substring($1::text FROM '[0-9]{1,18}$')::bigint, 0))
     RETURNING ${runColumnsSql}`,
)

/** Inserts a run. A second live run of the same job and parameters violates the index `runs_live` (23505). */
export function insertRun(control: Control, run: NewRun): Promise<Run> {
  return insertRunSql.one(control, [
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
  ])
}

const updateOverridesSql = statement(
  'updateOverrides',
  runColumns,
  (s) => `UPDATE ${s}.runs SET overrides = $2, version = version + 1 WHERE id = $1 RETURNING ${runColumnsSql}`,
)

export function updateOverrides(control: Control, id: string, overrides: readonly Override[]): Promise<Run> {
  return updateOverridesSql.one(control, [id, JSON.stringify(overrides)])
}

const updateStatusSql = statement(
  'updateStatus',
  runColumns,
  (s) => `UPDATE ${s}.runs SET status = $2, reason = $3, version = version + 1, verify_rounds = $5,
       started_at = CASE WHEN $2 = 'running' THEN coalesce(started_at, clock_timestamp()) ELSE started_at END,
       ended_at = CASE WHEN $4 THEN clock_timestamp() END,
       worked_ms = worked_ms + CASE WHEN $2 = 'running' THEN 0 ELSE coalesce(greatest(0, extract(epoch FROM clock_timestamp() - working_since)), 0) * 1000 END,
       working_since = CASE WHEN $2 = 'running' THEN coalesce(working_since, clock_timestamp()) END,
       held_ms = held_ms + CASE WHEN $2 = ANY($6) THEN 0 ELSE ${heldMsSql} END,
       hold = CASE WHEN $2 = ANY($6) THEN hold END
     WHERE id = $1 RETURNING ${runColumnsSql}`,
)

/** Writes a status. Only `transitions.ts` calls it, after locking the row and checking the arrow. */
export function updateStatus(
  control: Control,
  id: string,
  change: { status: RunStatus; reason: string | null; ended: boolean; verifyRounds: number },
): Promise<Run> {
  const { status, reason, ended, verifyRounds } = change
  return updateStatusSql.one(control, [id, status, reason, ended, verifyRounds, workableStatuses])
}

const updateStatusesSql = command(
  'updateStatuses',
  (
    s,
  ) => `UPDATE ${s}.runs r SET status = m.status, reason = CASE WHEN $3 THEN $4 ELSE r.reason END, version = r.version + 1,
       ended_at = CASE WHEN NOT m.status = ANY($5) THEN clock_timestamp() END,
       worked_ms = r.worked_ms + coalesce(greatest(0, extract(epoch FROM clock_timestamp() - r.working_since)), 0) * 1000, working_since = NULL,
       held_ms = r.held_ms + CASE WHEN m.status = ANY($6) THEN 0 ELSE ${heldMsSql} END,
       hold = CASE WHEN m.status = ANY($6) THEN r.hold END
     FROM unnest($1::text[], $2::text[]) AS m (id, status) WHERE r.id = m.id`,
)

/**
 * Writes the statuses of several runs, none of them `running`. Only `pause-all.ts` calls it, under the same conditions
 * as `updateStatus`. Without `why`, the reasons stay unchanged.
 */
export async function updateStatuses(
  control: Control,
  moved: ReadonlyArray<{ readonly id: string; readonly to: RunStatus }>,
  why: { readonly reason: string | null } | null,
): Promise<void> {
  await updateStatusesSql.run(control, [
    moved.map(({ id }) => id),
    moved.map(({ to }) => to),
    why !== null,
    why?.reason ?? null,
    liveStatuses,
    workableStatuses,
  ])
}

const forgetVerifyRoundsSql = command(
  'forgetVerifyRounds',
  (s) => `UPDATE ${s}.runs SET verify_rounds = 0 WHERE id = $1`,
)

/** Resets the count of rounds. Rows that an operator has sent back are not rows that the application keeps adding. */
export async function forgetVerifyRounds(control: Control, id: string): Promise<void> {
  await forgetVerifyRoundsSql.run(control, [id])
}

const updateReasonSql = command(
  'updateReason',
  (s) => `UPDATE ${s}.runs SET reason = $2 WHERE id = $1 AND status = ANY($3) AND reason IS DISTINCT FROM $2`,
)

/** Writes what a run waits for. This is no change of status, so the version stays. An operator's own reason is kept. */
export async function updateReason(control: Control, id: string, reason: string | null): Promise<void> {
  await updateReasonSql.run(control, [id, reason, workableStatuses])
}

const updateOptionsSql = statement(
  'updateOptions',
  runColumns,
  (s) => `UPDATE ${s}.runs SET options = $2, version = version + 1 WHERE id = $1 RETURNING ${runColumnsSql}`,
)

export function updateOptions(control: Control, id: string, options: RunOptions): Promise<Run> {
  return updateOptionsSql.one(control, [id, JSON.stringify(options)])
}

const updateFingerprintSql = command('updateFingerprint', (s) => `UPDATE ${s}.runs SET fingerprint = $2 WHERE id = $1`)

/** Accepts the current job definition for this run. */
export async function updateFingerprint(control: Control, id: string, fingerprint: string): Promise<void> {
  await updateFingerprintSql.run(control, [id, fingerprint])
}
