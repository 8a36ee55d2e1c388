import { expect } from 'vitest'
import type { TestDatabase } from './database.ts'
import { jobSource, jobsFolder } from './service.ts'
import { limits } from './tier.ts'
import { until } from './until.ts'

/**
 * A table whose rows count how often they were done. `touch` has a predicate; `count` has none, and is not idempotent:
 * for it only cursor, epoch and stragglers stand between a row and a second time.
 */
export async function createItems(database: TestDatabase, rows: number, { paced = false } = {}): Promise<string> {
  await database.query('CREATE TABLE items (id bigint PRIMARY KEY, label text, touched int NOT NULL DEFAULT 0)')
  await database.query('INSERT INTO items (id) SELECT generate_series(1, $1::int)', [rows])
  await database.query('ANALYZE items')
  return jobsFolder({
    'touch.ts': jobSource({
      name: 'touch',
      table: 'items',
      paced,
      rest: "where: sql`label IS NULL`, set: { label: sql`'item ' || id`, touched: sql`touched + 1` }",
    }),
    'count.ts': jobSource({ name: 'count', table: 'items', paced, rest: 'set: { touched: sql`touched + 1` }' }),
  })
}

/** The oracle: every row was done, and none twice. */
export async function expectTouchedOnce(database: TestDatabase, rows: number): Promise<void> {
  const counts = await database.query(
    'SELECT touched, count(*)::int AS rows FROM items GROUP BY touched ORDER BY touched',
  )
  expect(counts).toEqual([{ touched: 1, rows }])
}

/** How many rows are done by now. */
export function countDone(database: TestDatabase): Promise<number> {
  return database.value<number>('SELECT count(*)::int FROM items WHERE touched > 0')
}

/** Waits until more rows than this are done. */
export async function untilDone(database: TestDatabase, rows: number, seconds = limits.wait): Promise<void> {
  await until(
    `more than ${rows} rows to be done`,
    () => countDone(database),
    (done) => done > rows,
    seconds,
  )
}
