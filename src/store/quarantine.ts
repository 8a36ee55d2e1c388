import { z } from 'zod'
import { type Cursor, cursorSchema } from '../core/range/key.ts'
import { command, jsonb, statement } from '../postgres/statement.ts'
import type { Control } from './control.ts'

const quarantineColumns = {
  id: z.string(),
  key: cursorSchema,
  sqlstate: z.string(),
  message: z.string(),
  /** How often the row was tried alone. */
  attempts: z.number(),
  /** When the row was first set aside. */
  at: z.date(),
  lastAt: z.date(),
  discarded: jsonb(z.object({ at: z.string(), by: z.string(), reason: z.string() })).nullable(),
}

/** A row that failed by itself. */
export type QuarantinedRow = Readonly<z.output<z.ZodObject<typeof quarantineColumns>>>

const countQuarantinedOfSql = statement(
  'countQuarantinedOf',
  { runId: z.string(), count: z.number() },
  (s) => `SELECT run_id AS "runId", count(*)::int AS count FROM ${s}.quarantine
     WHERE run_id = ANY($1) AND discarded_at IS NULL GROUP BY run_id`,
)

/** The number of quarantined rows that keep each run from succeeding. */
export async function countQuarantinedOf(
  control: Control,
  runIds: readonly string[],
): Promise<ReadonlyMap<string, number>> {
  const rows = await countQuarantinedOfSql.rows(control, [runIds])
  return new Map(rows.map(({ runId, count }) => [runId, count]))
}

const hasRoomInQuarantineSql = statement(
  'hasRoomInQuarantine',
  { room: z.boolean() },
  (s) => `SELECT (SELECT count(*) FROM ${s}.quarantine WHERE run_id = $1 AND discarded_at IS NULL) < $3::int
       OR EXISTS (SELECT FROM ${s}.quarantine WHERE run_id = $1 AND digest = ${s}.key_digest($2::text[])) AS room`,
)

/**
 * Whether a row may be set aside under a limit of `most` rows. A row that is already in quarantine takes no more room.
 */
export async function hasRoomInQuarantine(
  control: Control,
  runId: string,
  key: Cursor,
  most: number,
): Promise<boolean> {
  return (await hasRoomInQuarantineSql.one(control, [runId, key, most])).room
}

const countFailuresSql = statement(
  'countFailures',
  { attempts: z.number() },
  (s) => `SELECT attempts FROM ${s}.quarantine WHERE run_id = $1 AND digest = ${s}.key_digest($2::text[])`,
)

/** How often a quarantined row has failed alone; 0 if it is not in quarantine. */
export async function countFailures(control: Control, runId: string, key: Cursor): Promise<number> {
  return (await countFailuresSql.first(control, [runId, key]))?.attempts ?? 0
}

const listQuarantineSql = statement(
  'listQuarantine',
  quarantineColumns,
  (s) => `SELECT id::text, key, sqlstate, message, attempts, since AS at, last_at AS "lastAt",
       CASE WHEN discarded_at IS NOT NULL THEN jsonb_build_object('by', discarded_by, 'reason', discard_reason,
         'at', to_char(discarded_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')) END AS discarded
     FROM ${s}.quarantine AS quarantine WHERE run_id = $1 AND id > $2::bigint ORDER BY quarantine.id LIMIT $3`,
)

/** Rows after `after`, in the order in which they were set aside. */
export function listQuarantine(
  control: Control,
  runId: string,
  after: string,
  limit: number,
): Promise<QuarantinedRow[]> {
  return listQuarantineSql.rows(control, [runId, after, limit])
}

const releaseQuarantinedSql = command(
  'releaseQuarantined',
  (s) => `WITH released AS (
       DELETE FROM ${s}.quarantine WHERE run_id = $1
         AND CASE WHEN $2::bigint[] IS NULL THEN discarded_at IS NULL ELSE id = ANY($2::bigint[]) END
       RETURNING key, attempts, since, leaf
     )
     INSERT INTO ${s}.stragglers (run_id, key, since, failures, leaf) SELECT $1, key, since, attempts, leaf FROM released`,
)

/**
 * Turns quarantined rows into stragglers to be retried: these ids, or all that are not discarded. Returns how many. The
 * caller holds the run's row.
 */
export function releaseQuarantined(control: Control, runId: string, ids: readonly string[] | null): Promise<number> {
  return releaseQuarantinedSql.run(control, [runId, ids])
}

const discardQuarantinedSql = command(
  'discardQuarantined',
  (s) => `UPDATE ${s}.quarantine SET discarded_at = clock_timestamp(), discarded_by = $3, discard_reason = $4
     WHERE run_id = $1 AND discarded_at IS NULL AND ($2::bigint[] IS NULL OR id = ANY($2::bigint[]))`,
)

/** Discards quarantined rows: these ids, or all that are not discarded yet. Returns how many. */
export function discardQuarantined(
  control: Control,
  runId: string,
  ids: readonly string[] | null,
  by: string,
  reason: string,
): Promise<number> {
  return discardQuarantinedSql.run(control, [runId, ids, by, reason])
}
