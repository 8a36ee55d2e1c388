/** What the process of load.ts and we tell each other. */
export interface LoadOptions {
  readonly databaseUrl: string
  /** Transactions a second. */
  readonly rate: number
  readonly connections: number
  /** The table that is backfilled, and the share of the transactions that write to it. */
  readonly target: LoadTable
  readonly shareOnTarget: number
  /** Where the other transactions write. */
  readonly elsewhere: LoadTable
}

export interface LoadTable {
  readonly name: string
  /** Their ids begin at 1. */
  readonly rows: number
}

export type LoadOrder = 'begin' | 'end'

export interface LoadReport {
  /** Of each transaction that was due between begin and end; milliseconds from due to committed. */
  readonly latencies: readonly number[]
  readonly errors: number
}

/** The application_name of its sessions. */
export const foregroundSessions = 'bench foreground'
