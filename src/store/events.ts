import { storableJson } from '../core/text.ts'
import type { Control } from './control.ts'

/** One thing that happened to a run, and who did it. */
export interface RunEventRow {
  readonly id: string
  readonly at: Date
  readonly actor: string
  readonly kind: string
  readonly detail: Record<string, unknown>
}

export async function insertEvent(
  { db, s }: Control,
  event: { runId: string; actor: string; kind: string; detail?: Record<string, unknown> },
): Promise<void> {
  await db.query(`INSERT INTO ${s}.events (run_id, actor, kind, detail) VALUES ($1, $2, $3, $4)`, [
    event.runId,
    event.actor,
    event.kind,
    // What is told of a change must not keep it from being made.
    storableJson(event.detail ?? {}),
  ])
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
