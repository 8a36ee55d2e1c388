import { Problem } from '../core/errors.ts'
import { type Hold, type Override, overridesInForce } from '../core/hold.ts'
import { isEnded } from '../core/run.ts'
import type { Control } from './control.ts'
import { insertEvent } from './events.ts'
import { noSuchRun } from './lifecycle.ts'
import { readPace } from './pace.ts'
import { clearHold, type HoldRow, lockRun, type Run, updateOverrides, writeHold } from './runs.ts'

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
): Promise<HoldRow | null> {
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
    const override = change && {
      signal,
      reason: change.reason,
      by: change.by,
      since: now.toISOString(),
      until: new Date(now.getTime() + change.seconds * 1000).toISOString(),
    }
    const changed = await updateOverrides(tx, id, override ? [...others, override] : others)
    const { since: _, ...detail } = override ?? { since: null, signal }
    await insertEvent(tx, { runId: id, actor, kind: override ? 'override' : 'override-ended', detail })
    return changed
  })
}
