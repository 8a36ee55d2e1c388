import { z } from 'zod'
import { type Pause, type PauseKind, pauseKinds } from '../core/run/pause.ts'
import { command, statement } from '../postgres/statement.ts'
import type { Control } from './control.ts'

const insertPauseSql = command(
  'insertPause',
  (s) =>
    `INSERT INTO ${s}.pauses (run_id, kind, actor, reason) VALUES ($1, $2, $3, $4) ON CONFLICT (run_id, kind) DO NOTHING`,
)

/** Adds a reason to pause a run. False if there is one of this kind already. */
export async function insertPause(
  control: Control,
  runId: string,
  { kind, by, reason }: Omit<Pause, 'since'>,
): Promise<boolean> {
  return (await insertPauseSql.run(control, [runId, kind, by, reason])) === 1
}

const deletePausesSql = command(
  'deletePauses',
  (s) => `DELETE FROM ${s}.pauses WHERE run_id = $1 AND ($2::text[] IS NULL OR kind = ANY($2))`,
)

/** Removes the pauses of these kinds; with null, all. Returns how many there were. */
export function deletePauses(
  control: Control,
  runId: string,
  kinds: readonly PauseKind[] | null = null,
): Promise<number> {
  return deletePausesSql.run(control, [runId, kinds])
}

const listPausesSql = statement(
  'listPauses',
  { runId: z.string(), kind: z.enum(pauseKinds), by: z.string(), reason: z.string().nullable(), since: z.date() },
  (s) =>
    `SELECT run_id AS "runId", kind, actor AS by, reason, since FROM ${s}.pauses WHERE run_id = ANY($1) ORDER BY since, kind`,
)

/** The pauses of each run, oldest first. Runs without one are absent. */
export async function listPauses(control: Control, runIds: readonly string[]): Promise<Map<string, Pause[]>> {
  const pauses = new Map<string, Pause[]>()
  for (const { runId, ...pause } of await listPausesSql.rows(control, [runIds]))
    pauses.set(runId, [...(pauses.get(runId) ?? []), pause])
  return pauses
}
