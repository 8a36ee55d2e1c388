import { z } from 'zod'
import { Problem } from '../core/errors.ts'
import { isEnded, workableStatuses } from '../core/run/status.ts'
import {
  type Hold,
  type Override,
  overridesInForce,
  type WrittenHold,
  writtenHoldSchema,
} from '../core/throttle/hold.ts'
import { jsonb, statement } from '../postgres/statement.ts'
import { secondsFrom } from './clock.ts'
import type { Control } from './control.ts'
import { insertEvent } from './events.ts'
import { readPace } from './pace.ts'
import { heldMsSql, type Run } from './run.ts'
import { updateOverrides } from './run-changes.ts'
import { lockRun } from './runs.ts'
import { noSuchRun } from './transitions.ts'

/**
 * Holds a run. Records an event and returns true if it was not held before. Takes over another process's
 * hold once that has been silent for `staleSeconds`.
 */
export async function holdRun(
  control: Control,
  id: string,
  hold: Hold,
  by: string,
  staleSeconds: number,
): Promise<boolean> {
  return control.transaction(async (tx) => {
    const { began } = await writeHold(tx, id, hold, by, staleSeconds)
    if (began) await insertEvent(tx, { runId: id, actor: by, kind: 'held', detail: { ...hold } })
    return began
  })
}

/** Releases a held run, and records how long it was held. Null if another process keeps the hold. */
export async function releaseHold(
  control: Control,
  id: string,
  by: string,
  staleSeconds: number,
): Promise<WrittenHold | null> {
  return control.transaction(async (tx) => {
    const ended = await clearHold(tx, id, by, staleSeconds)
    if (!ended) return null
    const { hold, heldSeconds } = ended
    await insertEvent(tx, { runId: id, actor: by, kind: 'released', detail: { signal: hold.signal, heldSeconds } })
    return hold
  })
}

/**
 * Lets a run ignore a signal for some time on the database's clock; with null, ends that. `by` and `reason` stay in the
 * events.
 */
export async function changeOverride(
  control: Control,
  id: string,
  signal: Override['signal'],
  change: (Pick<Override, 'reason' | 'by'> & { readonly seconds: number }) | null,
  actor: string,
): Promise<Run> {
  return control.transaction(async (tx) => {
    const run = await lockRun(tx, id)
    if (!run) throw noSuchRun(id)
    if (isEnded(run.status) && run.status !== 'failed') {
      throw new Problem('conflict', `Cannot change the overrides of run ${id}: it has ended (${run.status}).`, {
        from: run.status,
      })
    }
    const now = new Date((await readPace(tx)).now * 1000)
    const others = overridesInForce(run.overrides, now).filter((override) => override.signal !== signal)
    if (!change) {
      const changed = await updateOverrides(tx, id, others)
      await insertEvent(tx, { runId: id, actor, kind: 'override-ended', detail: { signal } })
      return changed
    }
    const { reason, by, seconds } = change
    const told = { signal, reason, by, until: new Date(now.getTime() + seconds * 1000).toISOString() }
    const changed = await updateOverrides(tx, id, [...others, { ...told, since: now.toISOString() }])
    await insertEvent(tx, { runId: id, actor, kind: 'override', detail: told })
    return changed
  })
}

const nowSql = `to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`

// Processes may see different values. A process that can read a signal must not release the hold of one that cannot.
function mineOrStale(by: string, staleSeconds: string): string {
  return `(r.hold IS NULL OR r.hold->>'by' = ${by} OR ${seenAgo(staleSeconds)})`
}

/** SQL: whether a hold was last refreshed longer than this ago. */
function seenAgo(seconds: string): string {
  return `${secondsFrom("(r.hold->>'seenAt')::timestamptz")} > ${seconds}::float8`
}

const writeHoldSql = statement(
  'writeHold',
  { began: z.boolean() },
  (
    s,
  ) => `UPDATE ${s}.runs r SET hold = jsonb_build_object('reason', $2::text, 'signal', $3::text, 'value', $4::float8, 'limit', $5::float8,
       'since', coalesce(r.hold->>'since', ${nowSql}), 'by', $6::text, 'seenAt', ${nowSql})
     FROM (SELECT id, hold FROM ${s}.runs r WHERE id = $1 AND status = ANY($7) AND ${mineOrStale('$6', '$8')}
       AND (hold IS NULL OR hold->>'by' <> $6 OR hold->>'signal' <> $3 OR ${seenAgo('1')}) FOR NO KEY UPDATE) AS before
     WHERE r.id = before.id
     RETURNING before.hold IS NULL AS began`,
)

/**
 * Holds a run: no batch of it begins from now on, in any process. The process that wrote a hold refreshes it once a
 * second. Another process takes it over only when it was not refreshed for `staleSeconds`. Without anything to write
 * nothing is locked, so a database held for its load need not flush. `began` is true if the run was not held before.
 */
async function writeHold(
  control: Control,
  id: string,
  { reason, signal, value, limit }: Hold,
  by: string,
  staleSeconds: number,
): Promise<{ began: boolean }> {
  const values = [id, reason, signal, value, limit, by, workableStatuses, staleSeconds]
  return (await writeHoldSql.first(control, values)) ?? { began: false }
}

const clearHoldSql = statement(
  'clearHold',
  { hold: jsonb(writtenHoldSchema), heldSeconds: z.number() },
  (s) => `UPDATE ${s}.runs r SET hold = NULL, held_ms = r.held_ms + before.ms
     FROM (SELECT id, hold, ${heldMsSql} AS ms FROM ${s}.runs r
       WHERE id = $1 AND hold IS NOT NULL AND ${mineOrStale('$2', '$3')} FOR NO KEY UPDATE) AS before
     WHERE r.id = before.id
     RETURNING before.hold, before.ms::float8 / 1000 AS "heldSeconds"`,
)

/** Ends a hold that `by` has written or that is no longer refreshed. Null if there was none to end. */
function clearHold(
  control: Control,
  id: string,
  by: string,
  staleSeconds: number,
): Promise<{ hold: WrittenHold; heldSeconds: number } | null> {
  return clearHoldSql.first(control, [id, by, staleSeconds])
}
