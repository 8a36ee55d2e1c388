import { z } from 'zod'
import type { Settings } from '../sql/settings.ts'

/**
 * A position in a table's key order: one text per key column, as Postgres writes the value. Never a JS number or Date:
 * those lose bigints past 2^53 and microseconds.
 */
export type Cursor = readonly string[]

/** A cursor as Postgres returns it. */
export const cursorSchema: z.ZodType<Cursor> = z.array(z.string())

/** One column of the key. */
export interface KeyColumn {
  readonly name: string
  /** The SQL type that its text is cast to, with its schema. It has no length, so that the cast never cuts. */
  readonly type: string
  readonly operators: KeyOperators
}

/**
 * How two values of a key column are compared: the operators of its index, with their schemas. The search_path may find
 * another operator under the same bare name.
 */
export interface KeyOperators {
  readonly less: string
  readonly atMost: string
  readonly equal: string
  readonly more: string
  /** The type of their operands. */
  readonly operand: string
}

/**
 * A key column as it was when the run was accepted. A cursor is valid only as long as the column's values are ordered
 * and written as they were then.
 */
export interface KeyShape {
  /** Its attnum: a name may pass to another column. */
  readonly attnum: number
  readonly typid: string
  readonly typmod: number
  readonly collation: string
  /** Definition and version of the collation, if its order is a locale's and may change with a library; else null. */
  readonly locale: string | null
}

/** A leaf partition. Its names may change, its oid does not. */
export interface Leaf {
  readonly schema: string
  readonly table: string
  readonly oid: string
}

/** A partition as a range stores it. */
export const leafSchema: z.ZodType<Leaf> = z.object({ schema: z.string(), table: z.string(), oid: z.string() })

/** The table that a run works on, as the catalog described it when the run was accepted. */
export interface Target {
  readonly schema: string
  readonly table: string
  /** Another table of the same name is another target. */
  readonly oid: string
  readonly key: readonly KeyColumn[]
  /** In the order of the key. */
  readonly shape: readonly KeyShape[]
  /** The key is ordered by a locale: after an upgrade of the system its index may be out of order. */
  readonly byLocale: boolean
  /** Its rows lie in partitions, each with ranges of its own. */
  readonly partitioned: boolean
  /**
   * The lock on a row before its change. A change to a column of a unique index takes the stronger lock. With the
   * weaker one it would wait for a session that holds a foreign key to the row, and hold up every session behind it.
   */
  readonly rowLock: 'NO KEY UPDATE' | 'UPDATE'
  /**
   * Settings for the job's SQL: those of the role and database when the run was accepted. A run that an older release
   * accepted has none, and uses evenkeel's own.
   */
  readonly settings?: Settings
  /** Rows in the table by its statistics, or counted if it has none. */
  readonly estimatedRows: number
}

/** A key as the catalog gives it, and as a run stores it. */
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

/** A target as a run stores it. */
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

/** Built-in types. Within a family, values converted from one type to another keep their order and their text. */
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

/** Whether a key column orders and writes each value as it did `before`, when the run was accepted. */
export function keepsOrder(before: KeyShape, now: KeyShape): boolean {
  if (before.attnum !== now.attnum || before.collation !== now.collation) return false
  if (before.locale !== null && before.locale !== now.locale) return false
  if (before.typid === now.typid) return before.typmod === now.typmod || cutsNothing(before, now)
  // A fraction would be rounded, and its row would have another key.
  if (before.typid === numeric) return false
  return (
    families.some((family) => family.includes(before.typid) && family.includes(now.typid)) && cutsNothing(before, now)
  )
}

/** True without a length or with a greater one. In other types a length may round values. */
function cutsNothing(before: KeyShape, now: KeyShape): boolean {
  return now.typmod === -1 || (now.typid === varchar && before.typmod !== -1 && now.typmod >= before.typmod)
}
