import { z } from 'zod'
import { command, statement } from '../postgres/statement.ts'
import type { Control } from './control.ts'

const countLeftoversSql = statement(
  'countLeftovers',
  { runId: z.string(), count: z.number() },
  (s) =>
    `SELECT run_id AS "runId", sum(found)::float8 AS count FROM ${s}.leftovers WHERE run_id = ANY($1) GROUP BY run_id`,
)

/**
 * Rows that the residual check found in slices too full for one straggler per row, by run. Runs without such rows are
 * absent.
 */
export async function countLeftovers(
  control: Control,
  runIds: readonly string[],
): Promise<ReadonlyMap<string, number>> {
  const rows = await countLeftoversSql.rows(control, [runIds])
  return new Map(rows.map(({ runId, count }) => [runId, count]))
}

const sendLeftoversBackSql = command(
  'sendLeftoversBack',
  (s) => `WITH sent AS (DELETE FROM ${s}.leftovers WHERE run_id = $1 RETURNING *)
     INSERT INTO ${s}.ranges (run_id, ordinal, phase, leaf, lower_key, upper_key, cursor, rows_again)
     SELECT $1, (SELECT max(ordinal) FROM ${s}.ranges WHERE run_id = $1) + row_number() OVER (ORDER BY sent.id), 'keys',
       r.leaf, sent.lower_key, sent.upper_key, sent.lower_key, sent.scanned
     FROM sent JOIN ${s}.ranges r ON r.run_id = $1 AND r.ordinal = sent.ordinal`,
)

/**
 * Turns these slices into ranges, so that the run's workers share them as they shared the table. The caller holds the
 * run's row.
 */
export async function sendLeftoversBack(control: Control, runId: string): Promise<void> {
  await sendLeftoversBackSql.run(control, [runId])
}

const forgetLeftoversSql = command('forgetLeftovers', (s) => `DELETE FROM ${s}.leftovers WHERE run_id = $1`)

/** Deletes these slices. A check that starts again finds them again. */
export async function forgetLeftovers(control: Control, runId: string): Promise<void> {
  await forgetLeftoversSql.run(control, [runId])
}
