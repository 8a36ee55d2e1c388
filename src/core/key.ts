import type { Settings } from './settings.ts'

/**
 * A place in a table's key order: one text per key column, as Postgres itself writes the value.
 * Never a JS number or Date: those lose bigints past 2^53 and microseconds.
 */
export type Cursor = readonly string[]

/** One column of the key. */
export interface KeyColumn {
  readonly name: string
  /** The SQL type that its text is cast to, under its schema's name: without a length, so that the cast never cuts. */
  readonly type: string
  readonly operators: KeyOperators
}

/**
 * How two values of a key column are compared: the operators of its index, under their schemas' names. An operator that
 * stands on the search_path under the same name may be another.
 */
export interface KeyOperators {
  readonly less: string
  readonly atMost: string
  readonly equal: string
  readonly more: string
  /** The type that they take. */
  readonly operand: string
}

/** A partition that holds rows itself. Its names may change, its oid does not. */
export interface Leaf {
  readonly schema: string
  readonly table: string
  readonly oid: string
}

/** The table a run works on, as the catalogue described it when the run was accepted. */
export interface Target {
  readonly schema: string
  readonly table: string
  /** Another table of the same name is another target. */
  readonly oid: string
  readonly key: readonly KeyColumn[]
  /** Its rows lie in partitions: each has ranges of its own. */
  readonly partitioned: boolean
  /**
   * How a row is locked before it is changed. Changing a column of a unique index takes the stronger lock: locked for less,
   * the change would then wait for whoever holds a foreign key to the row, and hold up everybody behind.
   */
  readonly rowLock: 'NO KEY UPDATE' | 'UPDATE'
  /**
   * Settings under which the job's SQL runs, those of the role and database when the run was accepted. A run that an older
   * release has accepted has none, and goes on under evenkeel's own.
   */
  readonly settings?: Settings
  /** Rows in the table by its statistics, or counted where it has none. */
  readonly estimatedRows: number
}
