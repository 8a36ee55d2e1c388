import { z } from 'zod'
import { type Cursor, cursorSchema } from '../core/range/key.ts'
import { command, jsonb, statement } from '../postgres/statement.ts'
import type { Control } from './control.ts'

const countStragglersOfSql = statement(
  'countStragglersOf',
  { runId: z.string(), count: z.number() },
  (s) => `SELECT asked.id AS "runId", counted.count FROM unnest($1::text[]) AS asked (id), LATERAL (
       SELECT count(DISTINCT key)::int AS count FROM (SELECT key FROM ${s}.stragglers WHERE run_id = asked.id LIMIT 1000) AS first) AS counted`,
)

/**
 * The number of stragglers by run, up to a thousand: the run's row is locked meanwhile, and there may be millions. A
 * row found by both checks has two entries and counts once.
 */
export async function countStragglersOf(
  control: Control,
  runIds: readonly string[],
): Promise<ReadonlyMap<string, number>> {
  const rows = await countStragglersOfSql.rows(control, [runIds])
  return new Map(rows.map(({ runId, count }) => [runId, count]))
}

export async function countStragglers(control: Control, runId: string): Promise<number> {
  return (await countStragglersOf(control, [runId])).get(runId) ?? 0
}

const summaryColumns = {
  count: z.number(),
  oldest: z.date().nullable(),
  /** Until the first straggler is due; 0 if one is. */
  waitSeconds: z.number(),
  /** Since the last straggler was recorded. */
  ageSeconds: z.number(),
  /** Up to three keys to look up. */
  sample: jsonb(z.array(z.array(z.string()))),
}

/** The rows that a run still has to try again. */
export type StragglerSummary = Readonly<z.output<z.ZodObject<typeof summaryColumns>>>

const summariseStragglersSql = statement(
  'summariseStragglers',
  summaryColumns,
  (s) => `SELECT count(*)::int AS count, min(since) AS oldest,
       greatest(0, extract(epoch FROM min(retry_at) - clock_timestamp()))::float8 AS "waitSeconds",
       greatest(0, extract(epoch FROM clock_timestamp() - max(since)))::float8 AS "ageSeconds",
       (SELECT coalesce(jsonb_agg(key), '[]') FROM (SELECT key FROM ${s}.stragglers WHERE run_id = $1 ORDER BY since, id LIMIT 3) AS first) AS sample
     FROM ${s}.stragglers WHERE run_id = $1`,
)

export function summariseStragglers(control: Control, runId: string): Promise<StragglerSummary> {
  return summariseStragglersSql.one(control, [runId])
}

const stragglerColumns = {
  key: cursorSchema,
  /** How often the row has failed alone. */
  failures: z.number(),
}

/** A straggler to be tried alone. */
export type Straggler = Readonly<z.output<z.ZodObject<typeof stragglerColumns>>>

const nextStragglerSql = statement(
  'nextStraggler',
  stragglerColumns,
  (s) => `SELECT key, failures FROM ${s}.stragglers
     WHERE run_id = $1 AND id > coalesce($2::bigint, 0) AND retry_at <= clock_timestamp() ORDER BY id LIMIT 1`,
)

/** The next due straggler after this cursor; null if none is due. */
export function nextStraggler(control: Control, runId: string, cursor: Cursor | null): Promise<Straggler | null> {
  return nextStragglerSql.first(control, [runId, cursor?.[0] ?? null])
}

const isStragglerSql = statement(
  'isStraggler',
  { found: z.boolean() },
  (s) => `SELECT EXISTS (SELECT FROM ${s}.stragglers WHERE run_id = $1 AND key = $2::text[]) AS found`,
)

/** Whether the row with this key is a straggler of the run. */
export async function isStraggler(control: Control, runId: string, key: Cursor): Promise<boolean> {
  return (await isStragglerSql.one(control, [runId, key])).found
}

const wakeStragglersSql = command(
  'wakeStragglers',
  (s) =>
    `UPDATE ${s}.stragglers SET retry_at = clock_timestamp() WHERE run_id = ANY($1) AND retry_at > clock_timestamp()`,
)

/** Makes all stragglers due now. After a resume or retry by an operator they need not wait any longer. */
export async function wakeStragglers(control: Control, runIds: readonly string[]): Promise<void> {
  await wakeStragglersSql.run(control, [runIds])
}
