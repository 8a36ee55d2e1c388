/** A backfill that runs. */
export interface Backfill {
  /** Rows that are committed by now. */
  rowsDone(): Promise<number>
  /** Resolves when there is nothing left to write, or when it was stopped; rejects when it failed. */
  readonly done: Promise<void>
  /** Ends it where it stands, with all its sessions. */
  stop(): Promise<void>
}

/** A way of backfilling. */
export interface Peer {
  readonly name: string
  /** The application_name of its sessions that lock rows. */
  readonly sessions: string
  /** Resolves as it begins to write: whatever it has to put up first is not on its account. */
  start(databaseUrl: string): Promise<Backfill>
}
