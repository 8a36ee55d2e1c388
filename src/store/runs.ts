import { z } from 'zod'
import { liveStatuses, type RunStatus, runStatuses, workableStatuses } from '../core/run/status.ts'
import { statement } from '../postgres/statement.ts'
import { type Control, limitLockWait } from './control.ts'
import { type Run, runColumns, runColumnsSql } from './run.ts'

const drawRunNumberSql = statement(
  'drawRunNumber',
  { number: z.number(), at: z.string() },
  (s) => `SELECT max(n)::float8 AS number, clock_timestamp()::text AS at
     FROM (SELECT nextval('${s}.run_number') AS n FROM generate_series(1, $1::int)) AS drawn`,
)

/**
 * Draws a run number that no run of this schema has, at least `atLeast`, and reads the time of the same clock. Numbers
 * only grow, and no two callers get the same one.
 */
export async function drawRunNumber(
  control: Control,
  atLeast: number,
): Promise<{ readonly number: number; readonly at: string }> {
  const drawn = await drawRunNumberSql.one(control, [1])
  return drawn.number >= atLeast ? drawn : drawRunNumberSql.one(control, [atLeast - drawn.number])
}

const findRunSql = statement('findRun', runColumns, (s) => `SELECT ${runColumnsSql} FROM ${s}.runs WHERE id = $1`)

export function findRun(control: Control, id: string): Promise<Run | null> {
  return findRunSql.first(control, [id])
}

// NO KEY: a batch that writes stragglers takes a key share lock on this row. It must never wait for us while we wait
// for its range.
const lockRunSql = statement(
  'lockRun',
  runColumns,
  (s) => `SELECT ${runColumnsSql} FROM ${s}.runs WHERE id = $1 FOR NO KEY UPDATE`,
)

/** Reads a run and locks it against changes of its status and options until the transaction ends. */
export function lockRun(control: Control, id: string): Promise<Run | null> {
  return lockRunSql.first(control, [id])
}

/** How long a process that holds a run's row waits for another row. Seconds. */
const keptSeconds = 1

/**
 * Like `lockRun`, for work that a process does by itself. A pause may need the row meanwhile, so the rest of the
 * transaction waits only briefly for other locks. After that it fails with 55P03.
 */
export async function lockRunBriefly(tx: Control, id: string): Promise<Run | null> {
  const run = await lockRun(tx, id)
  await limitLockWait(tx, keptSeconds)
  return run
}

const lockFreeRunsSql = statement(
  'lockFreeRuns',
  runColumns,
  (s) => `SELECT ${runColumnsSql} FROM ${s}.runs WHERE id = ANY($1) ORDER BY id FOR NO KEY UPDATE SKIP LOCKED`,
)

/** Locks those of these runs whose rows no other session has locked, as `lockRunBriefly` does. */
export async function lockFreeRuns(tx: Control, ids: readonly string[]): Promise<Run[]> {
  const runs = await lockFreeRunsSql.rows(tx, [ids])
  await limitLockWait(tx, keptSeconds)
  return runs
}

const listRunsByIdSql = statement(
  'listRunsById',
  runColumns,
  (s) => `SELECT ${runColumnsSql} FROM ${s}.runs WHERE id = ANY($1)`,
)

export function listRunsById(control: Control, ids: readonly string[]): Promise<Run[]> {
  return listRunsByIdSql.rows(control, [ids])
}

const findRunByIdempotencyKeySql = statement(
  'findRunByIdempotencyKey',
  runColumns,
  (s) => `SELECT ${runColumnsSql} FROM ${s}.runs WHERE idempotency_key = $1`,
)

export function findRunByIdempotencyKey(control: Control, key: string): Promise<Run | null> {
  return findRunByIdempotencyKeySql.first(control, [key])
}

// The statuses are literals, because only then Postgres sees that the index runs_live applies.
const findLiveRunSql = statement(
  'findLiveRun',
  runColumns,
  (s) => `SELECT ${runColumnsSql} FROM ${s}.runs WHERE job = $1 AND params_hash = $2
     AND status IN ('queued', 'running', 'pausing', 'paused', 'cancelling', 'verifying')`,
)

/** The live run of a job with these parameters; null if there is none. */
export function findLiveRun(control: Control, job: string, paramsHash: string): Promise<Run | null> {
  return findLiveRunSql.first(control, [job, paramsHash])
}

const findSucceededSql = statement(
  'findSucceeded',
  { id: z.string() },
  (s) =>
    `SELECT id FROM ${s}.runs WHERE job = $1 AND params_hash = $2 AND status = 'succeeded' ORDER BY number DESC LIMIT 1`,
)

/** The id of the last run of a job with these parameters that succeeded; null if there is none. */
export async function findSucceeded(control: Control, job: string, paramsHash: string): Promise<string | null> {
  return (await findSucceededSql.first(control, [job, paramsHash]))?.id ?? null
}

const findPartlyDoneSql = statement(
  'findPartlyDone',
  { id: z.string(), status: z.enum(runStatuses), rows: z.number() },
  (s) => `SELECT n.id, n.status, done.rows FROM ${s}.runs n,
       LATERAL (SELECT coalesce(sum(rows_done), 0)::float8 AS rows FROM ${s}.ranges WHERE run_id = n.id) AS done
     WHERE n.job = $1 AND n.params_hash = $2 AND n.status IN ('cancelled', 'failed') AND done.rows > 0
     ORDER BY n.number DESC LIMIT 1`,
)

/**
 * The last run of a job with these parameters that did rows and then failed or was cancelled; null if there is none.
 */
export function findPartlyDone(
  control: Control,
  job: string,
  paramsHash: string,
): Promise<{ readonly id: string; readonly status: RunStatus; readonly rows: number } | null> {
  return findPartlyDoneSql.first(control, [job, paramsHash])
}

/**
 * The position of a run in the list of all runs, the same in each database that it spans. Later runs have higher
 * numbers.
 */
export type RunPosition = Pick<Run, 'id' | 'number'>

const readCreatedAtSql = statement(
  'readCreatedAt',
  { at: z.string() },
  (s) => `SELECT created_at::text AS at FROM ${s}.runs WHERE id = $1`,
)

/** When a run was accepted, as Postgres writes it, to the microsecond. */
export async function readCreatedAt(control: Control, id: string): Promise<string | null> {
  return (await readCreatedAtSql.first(control, [id]))?.at ?? null
}

const listRunsSql = statement(
  'listRuns',
  runColumns,
  (s) => `SELECT ${runColumnsSql} FROM ${s}.runs
     WHERE ($1::text IS NULL OR job = $1) AND ($2::text IS NULL OR status = $2)
       AND ($3::bigint IS NULL OR (number, id COLLATE "C") <= ($3::bigint, $4::text))
     ORDER BY number DESC, id COLLATE "C" DESC LIMIT $5`,
)

/**
 * Runs newest first, starting at `from` if that run is here. Ids sort the same in all databases, whatever their
 * collations.
 */
export function listRuns(
  control: Control,
  filter: { job: string | null; status: string | null; from: RunPosition | null; limit: number },
): Promise<Run[]> {
  const { job, status, from, limit } = filter
  return listRunsSql.rows(control, [job, status, from?.number ?? null, from?.id ?? null, limit])
}

const listRunIdsByStatusSql = statement(
  'listRunIdsByStatus',
  { id: z.string() },
  (s) => `SELECT id FROM ${s}.runs WHERE status = ANY($1) ORDER BY number, id`,
)

export async function listRunIdsByStatus(control: Control, statuses: readonly RunStatus[]): Promise<string[]> {
  return (await listRunIdsByStatusSql.rows(control, [statuses])).map(({ id }) => id)
}

const listRunsByStatusSql = statement(
  'listRunsByStatus',
  runColumns,
  (s) => `SELECT ${runColumnsSql} FROM ${s}.runs WHERE status = ANY($1) ORDER BY number, id`,
)

/** Runs that workers may work on, oldest first. */
export function listWorkableRuns(control: Control): Promise<Run[]> {
  return listRunsByStatusSql.rows(control, [workableStatuses])
}

/** Live runs, oldest first. */
export function listLiveRuns(control: Control): Promise<Run[]> {
  return listRunsByStatusSql.rows(control, [liveStatuses])
}

const countRunsByStatusSql = statement(
  'countRunsByStatus',
  { status: z.enum(runStatuses), count: z.number() },
  (s) => `SELECT status, count(*)::int AS count FROM ${s}.runs GROUP BY status`,
)

export function countRunsByStatus(control: Control): Promise<Array<{ status: RunStatus; count: number }>> {
  return countRunsByStatusSql.rows(control)
}
