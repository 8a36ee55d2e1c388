import { type RunStatus, workableStatuses } from './status.ts'

/** The last signs of a run, on the database's clock. */
export interface ActivityFacts {
  /** The last sign of life: a checkpoint, the end of a wait, a renewed hold, or an operation on the run. */
  readonly stillSince: Date
  /** Seconds since then; below 0 while the run waits until a time. */
  readonly stillSeconds: number
  readonly lastCheckpointAt: Date | null
}

/** A run that should move and does not. */
export interface Stall {
  readonly since: Date
  readonly lastCheckpointAt: Date | null
}

/**
 * Detects a stalled run: it should be worked on, no renewed hold keeps it back, and it gives no sign. A run that no
 * worker takes is as stuck as one whose workers are gone. Null if it has not stalled.
 */
export function detectStall(
  status: RunStatus,
  { stillSince, stillSeconds, lastCheckpointAt }: ActivityFacts,
  stalledAfterSeconds: number,
): Stall | null {
  const stalled = (workableStatuses as readonly RunStatus[]).includes(status) && stillSeconds > stalledAfterSeconds
  return stalled ? { since: stillSince, lastCheckpointAt } : null
}
