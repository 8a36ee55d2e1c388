/**
 * The kinds of error that a client sees. Each has one HTTP status (in `api`) and one meaning here. A message says what
 * happened, to what, and what to do next.
 */
export type ProblemKind =
  | 'invalid'
  | 'unauthenticated'
  | 'forbidden'
  | 'not-found'
  | 'conflict'
  | 'stale'
  | 'too-many'
  | 'unsupported'
  | 'unavailable'

/**
 * An error that a client or an operator can solve, so its message is safe to show. Any other error is a defect of ours.
 */
export class Problem extends Error {
  readonly kind: ProblemKind
  /** Machine-readable particulars: each failed check, the illegal transition, the keys concerned. */
  readonly details: Record<string, unknown>

  constructor(kind: ProblemKind, message: string, details: Record<string, unknown> = {}, options?: ErrorOptions) {
    super(message, options)
    this.name = 'Problem'
    this.kind = kind
    this.details = details
  }
}

/** The index that windows are read by is gone. The run waits until there is one again. */
export class IndexLost extends Problem {}

/** The message of any thrown value, for places that take only text. */
export function messageOf(error: unknown): string {
  // Node gives an AggregateError (a refused connection on both ::1 and 127.0.0.1) an empty message.
  if (error instanceof AggregateError && error.message === '') return error.errors.map(messageOf).join('; ')
  return error instanceof Error ? error.message : String(error)
}
