import { z } from 'zod'
import { type ReadEvent, readEvent, type WrittenEvent } from '../core/run/events.ts'
import type { PauseKind } from '../core/run/pause.ts'
import type { RunEvent, RunStatus } from '../core/run/status.ts'
import { storableJson } from '../core/sql/text.ts'
import { command, jsonb, statement } from '../postgres/statement.ts'
import type { Control } from './control.ts'

/** An event to record for a run, with its actor. */
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
    // Text that cannot be stored must not prevent the change that it describes.
    events.map(({ detail }) => storableJson(detail)),
  ])
}

/** A recorded event of a run, with its actor. */
export type RunEventRow = ReadEvent & { readonly id: string; readonly at: Date; readonly actor: string }

const listEventsSql = statement(
  'listEvents',
  { id: z.string(), at: z.date(), actor: z.string(), kind: z.string(), detail: jsonb(z.unknown()) },
  (s) =>
    `SELECT id::text, at, actor, kind, detail FROM ${s}.events AS events WHERE run_id = $1 AND id > $2::bigint ORDER BY events.id LIMIT $3`,
)

/** Events after `after`, oldest first. */
export async function listEvents(
  control: Control,
  runId: string,
  after: string,
  limit: number,
): Promise<RunEventRow[]> {
  const rows = await listEventsSql.rows(control, [runId, after, limit])
  return rows.map(({ kind, detail, ...row }) => ({ ...row, ...readEvent(kind, detail) }))
}

/** The reason and the actor of a change of status. */
export interface Cause {
  readonly actor: string
  readonly reason?: string | null
  readonly detail?: Record<string, unknown>
  /** The kind of a pause; an operator's own if absent. */
  readonly pause?: PauseKind
}

/** Records a change of status: the event, and the statuses before and after. */
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
    // The details of a Problem may contain a `from` of their own.
    detail: { ...detail, from: run.status, to, ...(reason ? { reason } : {}) },
  })
}
