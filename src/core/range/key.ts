import { z } from 'zod'
import type { Settings } from '../sql/settings.ts'

/**
 * A place in a table's key order: one text per key column, as Postgres itself writes the value.
 * Never a JS number or Date: those lose bigints past 2^53 and microseconds.
 */
export type Cursor = readonly string[]

/** A place in the key order as Postgres gives it. */
export const cursorSchema: z.ZodType<Cursor> = z.array(z.string())

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

/**
 * What a key column was when the run was accepted. A cursor says where a range stands only as long as the column's values are
 * ordered, and written, as they were then.
 */
export interface KeyShape {
  /** Its number: a name may pass to another column. */
  readonly attnum: number
  readonly typid: string
  readonly typmod: number
  readonly collation: string
  /** The definition and the version of the collation, where its order is a locale's and may change with a library; else null. */
  readonly locale: string | null
}

/** A partition that holds rows itself. Its names may change, its oid does not. */
export interface Leaf {
  readonly schema: string
  readonly table: string
  readonly oid: string
}

/** A partition as a range keeps it. */
export const leafSchema: z.ZodType<Leaf> = z.object({ schema: z.string(), table: z.string(), oid: z.string() })

/** The table a run works on, as the catalog described it when the run was accepted. */
export interface Target {
  readonly schema: string
  readonly table: string
  /** Another table of the same name is another target. */
  readonly oid: string
  readonly key: readonly KeyColumn[]
  /** In the order of the key. */
  readonly shape: readonly KeyShape[]
  /** The order of the key is a locale's: the index may be out of order after an upgrade of the system. */
  readonly byLocale: boolean
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

/** A key as the registry gives it, and as a run keeps it. */
export const keySchema: z.ZodType<readonly KeyColumn[]> = z.array(
  z.object({
    name: z.string(),
    type: z.string(),
    operators: z.object({
      less: z.string(),
      atMost: z.string(),
      equal: z.string(),
      more: z.string(),
      operand: z.string(),
    }),
  }),
)

/** A target as a run keeps it. */
export const targetSchema: z.ZodType<Target> = z.object({
  schema: z.string(),
  table: z.string(),
  oid: z.string(),
  key: keySchema,
  shape: z.array(
    z.object({
      attnum: z.number(),
      typid: z.string(),
      typmod: z.number(),
      collation: z.string(),
      locale: z.string().nullable(),
    }),
  ),
  byLocale: z.boolean(),
  partitioned: z.boolean(),
  rowLock: z.enum(['NO KEY UPDATE', 'UPDATE']),
  settings: z.record(z.string(), z.string()).exactOptional(),
  estimatedRows: z.number(),
})

/** Types of Postgres' own whose values keep their order and their text when one is made of the other. */
const bigint = '20'
const smallint = '21'
const integer = '23'
const text = '25'
const varchar = '1043'
const numeric = '1700'
const families: ReadonlyArray<readonly string[]> = [
  [smallint, integer, bigint, numeric],
  [varchar, text],
]

/** Whether a column that was `before` when the run was accepted still orders and writes each value as it did. */
export function keepsOrder(before: KeyShape, now: KeyShape): boolean {
  if (before.attnum !== now.attnum || before.collation !== now.collation) return false
  if (before.locale !== null && before.locale !== now.locale) return false
  if (before.typid === now.typid) return before.typmod === now.typmod || cutsNothing(before, now)
  // A fraction would be rounded: its row has another key then.
  if (before.typid === numeric) return false
  return (
    families.some((family) => family.includes(before.typid) && family.includes(now.typid)) && cutsNothing(before, now)
  )
}

/** Without a length, or with a greater one. Of the other types a length may round values. */
function cutsNothing(before: KeyShape, now: KeyShape): boolean {
  return now.typmod === -1 || (now.typid === varchar && before.typmod !== -1 && now.typmod >= before.typmod)
}
