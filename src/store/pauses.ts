import type { Pause, PauseKind } from '../core/run/pause.ts'
import type { Control } from './control.ts'

/** Adds a reason to pause a run. False where there is one of this kind already. */
export async function insertPause(
  { db, s }: Control,
  runId: string,
  { kind, by, reason }: Omit<Pause, 'since'>,
): Promise<boolean> {
  const { rowCount } = await db.query(
    `INSERT INTO ${s}.pauses (run_id, kind, actor, reason) VALUES ($1, $2, $3, $4) ON CONFLICT (run_id, kind) DO NOTHING`,
    [runId, kind, by, reason],
  )
  return rowCount === 1
}

/** Removes the reasons of these kinds; all where none is named. Returns how many there were. */
export async function deletePauses(
  { db, s }: Control,
  runId: string,
  kinds: readonly PauseKind[] | null = null,
): Promise<number> {
  const { rowCount } = await db.query(
    `DELETE FROM ${s}.pauses WHERE run_id = $1 AND ($2::text[] IS NULL OR kind = ANY($2))`,
    [runId, kinds],
  )
  return rowCount ?? 0
}

/** Why each of these runs is paused, oldest reason first; runs without one are left out. */
export async function listPauses({ db, s }: Control, runIds: readonly string[]): Promise<Map<string, Pause[]>> {
  const { rows } = await db.query<Pause & { runId: string }>(
    `SELECT run_id AS "runId", kind, actor AS by, reason, since FROM ${s}.pauses WHERE run_id = ANY($1) ORDER BY since, kind`,
    [runIds],
  )
  const pauses = new Map<string, Pause[]>()
  for (const { runId, ...pause } of rows) pauses.set(runId, [...(pauses.get(runId) ?? []), pause])
  return pauses
}
