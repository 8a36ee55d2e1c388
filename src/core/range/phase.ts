/** A phase of a run: what its ranges divide, and what happens to their rows. */
export interface Phase {
  /** The status of the run while ranges of this phase are worked on. */
  readonly status: 'running' | 'verifying'
  /** What its ranges divide: the key space, the stragglers, or the file, whose bounds are page numbers. */
  readonly over: 'keys' | 'stragglers' | 'pages'
  /** Whether it changes rows. The other phases only read them. */
  readonly changes: boolean
}

/** All phases, in the order in which a run goes through those of its kind. */
export const phases = {
  keys: { status: 'running', over: 'keys', changes: true },
  /** Rows that were passed because another session held them. */
  stragglers: { status: 'running', over: 'stragglers', changes: true },
  /** Reads the table once more, by key: no row may be left to do. */
  residual: { status: 'verifying', over: 'keys', changes: false },
  /** The same by page, so that it does not depend on the key's index. */
  pages: { status: 'verifying', over: 'pages', changes: false },
} as const satisfies Readonly<Record<string, Phase>>

export type PhaseName = keyof typeof phases
export const phaseNames = Object.keys(phases) as readonly PhaseName[]

/** Whether this phase reads rows and does not change them. */
export function isCheck(phase: PhaseName): boolean {
  return !phases[phase].changes
}
