/** A phase of a run: what its ranges are parts of, and what is done with their rows. */
export interface Phase {
  /** The status of the run while ranges of this phase are worked on. */
  readonly status: 'running' | 'verifying'
  /** What a range is a part of: the key space, the rows written down as stragglers, or the file, whose bounds are numbers of pages. */
  readonly over: 'keys' | 'stragglers' | 'pages'
  /** Its rows are changed. The rows of the other phases are read alone. */
  readonly changes: boolean
}

/** The phases there are, in the order in which a run goes through those of its kind. */
export const phases = {
  keys: { status: 'running', over: 'keys', changes: true },
  /** Rows that were passed because another session held them. */
  stragglers: { status: 'running', over: 'stragglers', changes: true },
  /** Reads the table once more, by key: no row is left to do. */
  residual: { status: 'verifying', over: 'keys', changes: false },
  /** The same by the file, so that it does not rest on the index of the key. */
  pages: { status: 'verifying', over: 'pages', changes: false },
} as const satisfies Readonly<Record<string, Phase>>

export type PhaseName = keyof typeof phases
export const phaseNames = Object.keys(phases) as readonly PhaseName[]

/** Whether rows are read in this phase and not changed. */
export function isCheck(phase: PhaseName): boolean {
  return !phases[phase].changes
}
