/** Why a run is paused: by an operator who paused this run, by `POST /pause`, or by a worker because of its job. */
export const pauseKinds = ['run', 'global', 'job'] as const
export type PauseKind = (typeof pauseKinds)[number]

/** One reason for which a run is paused. It stays paused while any is left. */
export interface Pause {
  readonly kind: PauseKind
  readonly by: string
  readonly reason: string | null
  readonly since: Date
}

/** What `POST /runs/:id/resume` lifts. */
export const ownPauses: readonly PauseKind[] = ['run', 'job']
