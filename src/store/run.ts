import { z } from 'zod'
import { runOptions } from '../core/job/options.ts'
import { targetSchema } from '../core/range/key.ts'
import { runStatuses } from '../core/run/status.ts'
import { overridesSchema, writtenHoldSchema } from '../core/throttle/hold.ts'
import { jsonb } from '../postgres/statement.ts'

/** The columns of a run, by the names that `runColumnsSql` gives them. */
export const runColumns = {
  id: z.string(),
  /** The one in its id. Of two runs of a database the later one has the higher number, whatever the clock did. */
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
  /** How long holds that have ended lasted. Milliseconds. */
  heldMs: z.number(),
  overrides: jsonb(overridesSchema),
  requestHash: z.string(),
  /** The named databases that it spans, this one among them; null where there was but one, without a name. */
  databases: z.array(z.string()).nullable(),
  createdBy: z.string(),
  createdAt: z.date(),
  startedAt: z.date().nullable(),
  endedAt: z.date().nullable(),
  /** How long it was running, up to when it last began to. Milliseconds. */
  workedMs: z.number(),
  /** Since when it is running; null while it is not. */
  workingSince: z.date().nullable(),
}

/** A run as it is stored. */
export type Run = Readonly<z.output<z.ZodObject<typeof runColumns>>>

export const runColumnsSql = `id, number::float8 AS number, job, params, params_hash AS "paramsHash", fingerprint, target,
  has_predicate AS "hasPredicate", options, status, reason, version::int, verify_rounds AS "verifyRounds", hold,
  held_ms::float8 AS "heldMs", overrides, request_hash AS "requestHash", databases, created_by AS "createdBy",
  created_at AS "createdAt", started_at AS "startedAt", ended_at AS "endedAt", worked_ms AS "workedMs",
  working_since AS "workingSince"`

/** How long the hold that a run is under has lasted, 0 without one. */
export const heldMsSql = `greatest(0, coalesce(extract(epoch FROM clock_timestamp() - (hold->>'since')::timestamptz) * 1000, 0))::bigint`
