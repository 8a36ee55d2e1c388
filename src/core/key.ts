/**
 * A place in a table's key order: one text per key column, as Postgres itself writes the value.
 * Never a JS number or Date: those lose bigints past 2^53 and microseconds.
 */
export type Cursor = readonly string[]

/** One column of the key. `type` is the SQL type its text is cast to: without a length, so that the cast never cuts. */
export interface KeyColumn {
  readonly name: string
  readonly type: string
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
  /** Rows in the table by its statistics, or counted where it has none. */
  readonly estimatedRows: number
}
