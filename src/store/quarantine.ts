import type { Cursor } from '../core/range/key.ts'
import type { Control } from './control.ts'

/** A row that failed by itself. */
export interface QuarantinedRow {
  readonly id: string
  readonly key: Cursor
  readonly sqlstate: string
  readonly message: string
  /** How often it was tried alone. */
  readonly attempts: number
  /** When it was set aside for the first time. */
  readonly at: Date
  readonly lastAt: Date
  readonly discarded: { readonly at: string; readonly by: string; readonly reason: string } | null
}

/** Of a run's rows that fail by themselves, those that keep it from succeeding. */
export async function countQuarantinedOf(
  { db, s }: Control,
  runIds: readonly string[],
): Promise<ReadonlyMap<string, number>> {
  const { rows } = await db.query<{ runId: string; count: number }>(
    `SELECT run_id AS "runId", count(*)::int AS count FROM ${s}.quarantine
     WHERE run_id = ANY($1) AND discarded_at IS NULL GROUP BY run_id`,
    [runIds],
  )
  return new Map(rows.map(({ runId, count }) => [runId, count]))
}

/** Whether a row may be set aside where at most `most` may: one that is there already takes no more room. */
export async function hasRoomInQuarantine(
  { db, s }: Control,
  runId: string,
  key: Cursor,
  most: number,
): Promise<boolean> {
  const { rows } = await db.query<{ room: boolean }>(
    `SELECT (SELECT count(*) FROM ${s}.quarantine WHERE run_id = $1 AND discarded_at IS NULL) < $3::int
       OR EXISTS (SELECT FROM ${s}.quarantine WHERE run_id = $1 AND digest = ${s}.key_digest($2::text[])) AS room`,
    [runId, key, most],
  )
  return rows[0]?.room ?? false
}

/** How often a row in quarantine has failed alone; 0 where it is not there. */
export async function countFailures({ db, s }: Control, runId: string, key: Cursor): Promise<number> {
  const { rows } = await db.query<{ attempts: number }>(
    `SELECT attempts FROM ${s}.quarantine WHERE run_id = $1 AND digest = ${s}.key_digest($2::text[])`,
    [runId, key],
  )
  return rows[0]?.attempts ?? 0
}

/** In the order in which they came, those after the row `after`. */
export async function listQuarantine(
  { db, s }: Control,
  runId: string,
  after: string,
  limit: number,
): Promise<QuarantinedRow[]> {
  const { rows } = await db.query<QuarantinedRow>(
    `SELECT id::text, key, sqlstate, message, attempts, since AS at, last_at AS "lastAt",
       CASE WHEN discarded_at IS NOT NULL THEN jsonb_build_object('by', discarded_by, 'reason', discard_reason,
         'at', to_char(discarded_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')) END AS discarded
     FROM ${s}.quarantine AS quarantine WHERE run_id = $1 AND id > $2::bigint ORDER BY quarantine.id LIMIT $3`,
    [runId, after, limit],
  )
  return rows
}

/**
 * Makes stragglers of rows in quarantine, to be tried once more: of these ids, or of all that are not discarded. Returns how
 * many. The caller holds the run's row.
 */
export async function releaseQuarantined(
  { db, s }: Control,
  runId: string,
  ids: readonly string[] | null,
): Promise<number> {
  const { rowCount } = await db.query(
    `WITH released AS (
       DELETE FROM ${s}.quarantine WHERE run_id = $1
         AND CASE WHEN $2::bigint[] IS NULL THEN discarded_at IS NULL ELSE id = ANY($2::bigint[]) END
       RETURNING key, attempts, since, leaf
     )
     INSERT INTO ${s}.stragglers (run_id, key, since, failures, leaf) SELECT $1, key, since, attempts, leaf FROM released`,
    [runId, ids],
  )
  return rowCount ?? 0
}

/** Gives rows in quarantine up: of these ids, or all that are not given up yet. Returns how many. */
export async function discardQuarantined(
  { db, s }: Control,
  runId: string,
  ids: readonly string[] | null,
  by: string,
  reason: string,
): Promise<number> {
  const { rowCount } = await db.query(
    `UPDATE ${s}.quarantine SET discarded_at = clock_timestamp(), discarded_by = $3, discard_reason = $4
     WHERE run_id = $1 AND discarded_at IS NULL AND ($2::bigint[] IS NULL OR id = ANY($2::bigint[]))`,
    [runId, ids, by, reason],
  )
  return rowCount ?? 0
}
