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
 * Holds a run, with an event where it was not held before. True where it was not. Another process' hold is taken over once
 * that has been silent for `staleSeconds`.
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

/** Lets a held run go on, with an event that says how long it was held. Null where that is not ours to say. */
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

/** Lets a run ignore a signal for some time by the database's clock, or, with null, heed it again. `by` and `reason` stay in the events. */
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
      throw new Problem('conflict', `Run ${id} is ${run.status}: there is nothing left to override.`, {
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

// Processes may see things differently: one that cannot read a signal must not be talked over by one that can.
function mineOrStale(by: string, staleSeconds: string): string {
  return `(r.hold IS NULL OR r.hold->>'by' = ${by} OR ${seenAgo(staleSeconds)})`
}

/** Whether a hold was last kept up so many seconds ago. */
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
 * Holds a run: from here on no batch of it begins, whichever process it is in. A hold that it is under already is brought
 * up to date by whoever wrote it, once a second; another process only takes it over when it has not been seen for `staleSeconds`.
 * Where there is nothing to write nothing is locked either: a database that is held for its load need not flush for that.
 * `began` is true where the run was not held before.
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

/** Ends a hold that `by` has written, or that nobody keeps up. Null where there was none to end. */
function clearHold(
  control: Control,
  id: string,
  by: string,
  staleSeconds: number,
): Promise<{ hold: WrittenHold; heldSeconds: number } | null> {
  return clearHoldSql.first(control, [id, by, staleSeconds])
}
