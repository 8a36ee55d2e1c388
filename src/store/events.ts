import type { PauseKind } from '../core/run/pause.ts'
import type { RunEvent, RunStatus } from '../core/run/status.ts'
import { storableJson } from '../core/sql/text.ts'
import type { Control } from './control.ts'

/** One thing that happened to a run, and who did it. */
export interface RunEventRow {
  readonly id: string
  readonly at: Date
  readonly actor: string
  readonly kind: string
  readonly detail: Record<string, unknown>
}

export interface NewEvent {
  readonly runId: string
  readonly actor: string
  readonly kind: string
  readonly detail?: Record<string, unknown>
}

export function insertEvent(control: Control, event: NewEvent): Promise<void> {
  return insertEvents(control, [event])
}

export async function insertEvents({ db, s }: Control, events: readonly NewEvent[]): Promise<void> {
  await db.query(
    `INSERT INTO ${s}.events (run_id, actor, kind, detail)
     SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::jsonb[])`,
    [
      events.map(({ runId }) => runId),
      events.map(({ actor }) => actor),
      events.map(({ kind }) => kind),
      // What is told of a change must not keep it from being made.
      events.map(({ detail }) => storableJson(detail ?? {})),
    ],
  )
}

/** Oldest first, those after the event `after`. */
export async function listEvents(
  { db, s }: Control,
  runId: string,
  after: string,
  limit: number,
): Promise<RunEventRow[]> {
  const { rows } = await db.query<RunEventRow>(
    `SELECT id::text, at, actor, kind, detail FROM ${s}.events AS events WHERE run_id = $1 AND id > $2::bigint ORDER BY events.id LIMIT $3`,
    [runId, after, limit],
  )
  return rows
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
  cause: Cause,
): Promise<void> {
  await insertEvent(tx, {
    runId: run.id,
    actor: cause.actor,
    kind: event,
    detail: { from: run.status, to, ...(cause.reason ? { reason: cause.reason } : {}), ...cause.detail },
  })
}
