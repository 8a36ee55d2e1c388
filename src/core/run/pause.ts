/**
 * Why a run is paused: an operator paused this run, `POST /pause` paused all, or a worker paused it because of its job.
 */
export const pauseKinds = ['run', 'global', 'job'] as const
export type PauseKind = (typeof pauseKinds)[number]

/** A reason for which a run is paused. The run stays paused while any reason is left. */
export interface Pause {
  readonly kind: PauseKind
  readonly by: string
  readonly reason: string | null
  readonly since: Date
}

/** The kinds that `POST /runs/:id/resume` lifts. */
export const ownPauses: readonly PauseKind[] = ['run', 'job']
