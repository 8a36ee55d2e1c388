/** What is looked at four times a second, each from the outside. Null where it could not be told, or is none. */
export interface Sample {
  /** Seconds since the run's first row. */
  readonly at: number
  /** Committed, by the checkpoints. */
  readonly rows: number
  /** Batches so far, and rows that they passed over, by the service's own counters. */
  readonly batches: number
  readonly batchedRows: number
  /** In bytes of WAL. */
  readonly written: number
  readonly replayed: number
  /** How old the newest beat is that the standby shows: measured by nothing of evenkeel. Seconds. */
  readonly lag: number
  /** What evenkeel takes it for. */
  readonly seenLag: number | null
  readonly probe: number | null
  readonly load: number
  readonly workers: number
  readonly targetSeconds: number
  /** The signal for which the load is not higher; and the one for which the run is held. */
  readonly cause: string | null
  readonly hold: string | null
}

export interface Phase {
  readonly name: string
  /** Whether the standby can replay only what the calibration has slowed it down to. */
  readonly slowed: boolean
  /** Seconds since the run's first row. */
  readonly from: number
  readonly to: number
  /** Share of the machine that others took in it. */
  readonly cpuOthers: number
}

/** What the standby was found to be able to do before the run. */
export interface Calibration {
  /** What a run writes that no replica holds back. Bytes of WAL a second. */
  readonly written: number
  /** What the standby is slowed down to; and what it replays then, however much there is. */
  readonly slowedTo: number
  readonly capacity: number
}

export interface Limits {
  readonly soft: number
  readonly hard: number
  readonly probe: number
}

export interface Recording {
  readonly calibration: Calibration
  /** Of the lag, in seconds, and of the probe. */
  readonly limits: Limits
  readonly phases: readonly Phase[]
  readonly samples: readonly Sample[]
}
