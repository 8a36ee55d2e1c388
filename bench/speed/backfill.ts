/** A backfill that is ready to begin, in a process of its own. */
export interface Backfill {
  /** Of the process whose CPU counts as the client's. */
  readonly pid: number
  /** Rejects when its process ends by itself. */
  readonly failure: Promise<never>
  /** Begins. Resolves when there is nothing left to write, with how long that took. */
  write(): Promise<number>
  /** What only a service can tell; to be asked once everything is written. */
  afterwards(): Promise<Afterwards>
  /** Ends it where it stands. Its sessions may live on for a moment. */
  kill(): Promise<void>
}

export interface Afterwards {
  /** From when the pace no longer held it back; null where that never was, or where there is no pace. */
  readonly steadyRowsPerSecond: number | null
  /** How long the check took that nothing was left out; null where there is none. */
  readonly checkSeconds: number | null
}
