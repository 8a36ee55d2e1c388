import { z } from 'zod'
import { runOptions } from '../core/job/options.ts'
import { targetSchema } from '../core/range/key.ts'
import { runStatuses } from '../core/run/status.ts'
import { overridesSchema, writtenHoldSchema } from '../core/throttle/hold.ts'
import { jsonb } from '../postgres/statement.ts'

/** The columns of a run, under the names that `runColumnsSql` gives them. */
export const runColumns = {
  id: z.string(),
  /** The number in its id. Within a database a later run has a higher number, even if the clock went back. */
  number: z.number(),
  job: z.string(),
  params: jsonb(z.unknown()),
  paramsHash: z.string(),
  fingerprint: z.string(),
  target: jsonb(targetSchema),
  hasPredicate: z.boolean(),
  options: jsonb(runOptions),
  status: z.enum(runStatuses),
  reason: z.string().nullable(),
  version: z.number(),
  verifyRounds: z.number(),
  hold: jsonb(writtenHoldSchema).nullable(),
  /** Total duration of holds that have ended. Milliseconds. */
  heldMs: z.number(),
  overrides: jsonb(overridesSchema),
  requestHash: z.string(),
  /** The named databases that it spans, including this one; null for a single database without a name. */
  databases: z.array(z.string()).nullable(),
  createdBy: z.string(),
  createdAt: z.date(),
  startedAt: z.date().nullable(),
  endedAt: z.date().nullable(),
  /** Time in status `running` before `workingSince`. Milliseconds. */
  workedMs: z.number(),
  /** Since when it has been running; null while it is not. */
  workingSince: z.date().nullable(),
}

/** A run as it is stored. */
export type Run = Readonly<z.output<z.ZodObject<typeof runColumns>>>

export const runColumnsSql = `id, number::float8 AS number, job, params, params_hash AS "paramsHash", fingerprint, target,
  has_predicate AS "hasPredicate", options, status, reason, version::int, verify_rounds AS "verifyRounds", hold,
  held_ms::float8 AS "heldMs", overrides, request_hash AS "requestHash", databases, created_by AS "createdBy",
  created_at AS "createdAt", started_at AS "startedAt", ended_at AS "endedAt", worked_ms AS "workedMs",
  working_since AS "workingSince"`

/** SQL: how long the current hold of a run has lasted; 0 without one. Milliseconds. */
export const heldMsSql = `greatest(0, coalesce(extract(epoch FROM clock_timestamp() - (hold->>'since')::timestamptz) * 1000, 0))::bigint`
