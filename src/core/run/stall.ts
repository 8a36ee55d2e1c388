import { type RunStatus, workableStatuses } from './status.ts'

/** The last that was seen of a run, on the database's clock. */
export interface ActivityFacts {
  /** The last sign: a checkpoint, a wait that was over, a hold that somebody kept up, something that was done to the run. */
  readonly stillSince: Date
  /** How far that is away; below 0 while it waits until a time. */
  readonly stillSeconds: number
  readonly lastCheckpointAt: Date | null
}

/** A run that should move, and does not. */
export interface Stall {
  readonly since: Date
  readonly lastCheckpointAt: Date | null
}

/**
 * Whether a run has stalled: it should be worked on, nothing that is kept up holds it back, and it gives no sign. One that no
 * worker takes up is as stuck as one whose workers are gone. Null where it has not.
 */
export function detectStall(
  status: RunStatus,
  { stillSince, stillSeconds, lastCheckpointAt }: ActivityFacts,
  stalledAfterSeconds: number,
): Stall | null {
  const stalled = (workableStatuses as readonly RunStatus[]).includes(status) && stillSeconds > stalledAfterSeconds
  return stalled ? { since: stillSince, lastCheckpointAt } : null
}
