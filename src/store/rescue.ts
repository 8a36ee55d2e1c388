import type { Cursor } from '../core/range/key.ts'
import { isSqlState } from '../core/sqlstate.ts'
import type { Control } from './control.ts'
import { insertEvent } from './events.ts'
import { closeRange, type Lease, takeExpiredLeases } from './leases.ts'
import { splitRange } from './ranges.ts'
import { lockRunBriefly } from './runs.ts'

/**
 * Splits a leased range at these keys, giving away everything after the first. False if the lease has changed, or if
 * another session keeps the range's row locked.
 */
export async function splitLease(
  control: Control,
  lease: Parameters<typeof splitRange>[1],
  keys: readonly Cursor[],
  batchSize: number,
): Promise<boolean> {
  try {
    return await control.transaction(async (tx) => {
      // Lock order: the run, then its ranges.
      await lockRunBriefly(tx, lease.runId)
      return splitRange(tx, lease, keys, batchSize)
    })
  } catch (error) {
    if (!isSqlState(error, 'lock_not_available')) throw error
    return false
  }
}

/** Closes a leased range whose partition was dropped or detached: the run changes only rows of the table. */
export async function closeGoneRange(control: Control, lease: Lease, actor: string): Promise<void> {
  await control.transaction(async (tx) => {
    if (!(await closeRange(tx, lease))) return
    await insertEvent(tx, {
      runId: lease.runId,
      actor,
      kind: 'partition-gone',
      detail: { range: lease.ordinal, partition: lease.leaf },
    })
  })
}

/** Takes ranges from silent workers and records an event for each. Returns how many. */
export async function rescueRanges(control: Control, actor: string): Promise<number> {
  return control.transaction(async (tx) => {
    const lost = await takeExpiredLeases(tx)
    for (const { runId, ordinal, owner } of lost) {
      await insertEvent(tx, { runId, actor, kind: 'rescued', detail: { range: ordinal, lostBy: owner } })
    }
    return lost.length
  })
}
