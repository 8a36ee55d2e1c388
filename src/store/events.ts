import { z } from 'zod'
import { type ReadEvent, readEvent, type WrittenEvent } from '../core/run/events.ts'
import type { PauseKind } from '../core/run/pause.ts'
import type { RunEvent, RunStatus } from '../core/run/status.ts'
import { storableJson } from '../core/sql/text.ts'
import { command, jsonb, statement } from '../postgres/statement.ts'
import type { Control } from './control.ts'

/** One thing that is to be told of a run, and who did it. */
export type NewEvent = WrittenEvent & { readonly runId: string; readonly actor: string }

export function insertEvent(control: Control, event: NewEvent): Promise<void> {
  return insertEvents(control, [event])
}

const insertEventsSql = command(
  'insertEvents',
  (s) => `INSERT INTO ${s}.events (run_id, actor, kind, detail)
     SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::jsonb[])`,
)

export async function insertEvents(control: Control, events: readonly NewEvent[]): Promise<void> {
  await insertEventsSql.run(control, [
    events.map(({ runId }) => runId),
    events.map(({ actor }) => actor),
    events.map(({ kind }) => kind),
    // What is told of a change must not keep it from being made.
    events.map(({ detail }) => storableJson(detail)),
  ])
}

/** One thing that happened to a run, and who did it. */
export type RunEventRow = ReadEvent & { readonly id: string; readonly at: Date; readonly actor: string }

const listEventsSql = statement(
  'listEvents',
  { id: z.string(), at: z.date(), actor: z.string(), kind: z.string(), detail: jsonb(z.unknown()) },
  (s) =>
    `SELECT id::text, at, actor, kind, detail FROM ${s}.events AS events WHERE run_id = $1 AND id > $2::bigint ORDER BY events.id LIMIT $3`,
)

/** Oldest first, those after the event `after`. */
export async function listEvents(
  control: Control,
  runId: string,
  after: string,
  limit: number,
): Promise<RunEventRow[]> {
  const rows = await listEventsSql.rows(control, [runId, after, limit])
  return rows.map(({ kind, detail, ...row }) => ({ ...row, ...readEvent(kind, detail) }))
}

/** Why, and by whom, a status changes. */
export interface Cause {
  readonly actor: string
  readonly reason?: string | null
  readonly detail?: Record<string, unknown>
  /** Of a pause: whose it is. An operator's own where absent. */
  readonly pause?: PauseKind
}

/** Writes down that a run was told something, and where that led. */
export async function tellEvent(
  tx: Control,
  run: { readonly id: string; readonly status: RunStatus },
  event: RunEvent,
  to: RunStatus,
  { actor, reason, detail }: Cause,
): Promise<void> {
  await insertEvent(tx, {
    runId: run.id,
    actor,
    kind: event,
    // Particulars of a Problem may have a `from` of their own.
    detail: { ...detail, from: run.status, to, ...(reason ? { reason } : {}) },
  })
}
