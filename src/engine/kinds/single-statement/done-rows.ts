import { batchParameters } from '../../batch/checkpoint.ts'
import { atMost, concat } from '../../batch/operators.ts'
import type { TableSql } from '../../batch/table.ts'

const p = batchParameters

/** How many rows a statement has changed. */
export const countDone = '(SELECT pg_catalog.count(*) FROM _ek_done)'

/** In windows of so few rows each key is looked up; in larger ones that would be noticeable. */
const fewRows = 100

/**
 * The number of changed rows. If a row has moved out of the window, the statement fails, and nothing of it remains. A
 * row that moves within a large window does no harm: the window is passed as a whole.
 */
export function doneInWindow(s: string, table: TableSql): string {
  const keysOf = (relation: string) => table.keyNames.map((name) => `${relation}.${name}`)
  const end = (order: string) =>
    `(SELECT ${table.keyNames.join(', ')} FROM _ek_window ORDER BY ${table.keyNames.map((name) => `${name} ${order}`).join(', ')} LIMIT 1)`
  const ends = `, ${end('ASC')} AS first, ${end('DESC')} AS last`
  const outside = ['first', 'last'].map((edge) =>
    table.compare(keysOf('d'), edge === 'first' ? 'less' : 'more', keysOf(edge)),
  )
  return doneUnless(
    s,
    `CASE WHEN ${p.limit} ${atMost} ${fewRows} THEN ${movedSql(table, `NOT EXISTS (SELECT FROM _ek_window w WHERE ${table.equal('w', 'd')})`)}
      ELSE ${movedSql(table, outside.join(' OR '), ends)} END`,
  )
}

/** The number of changed rows. The statement fails if `moved` gives the key of a row that has moved. */
export function doneUnless(s: string, moved: string): string {
  const problem = `('Changing a row has moved its key, which is '::pg_catalog.text ${concat} ${moved}) ${concat} '${keyMoved}'::pg_catalog.text`
  return `coalesce(${s}.halt(${problem}), ${countDone})`
}

/** The key of a changed row for which the condition is true; null if there is none. */
export function movedSql(table: TableSql, condition: string, beside = ''): string {
  return `(SELECT pg_catalog.array_to_json(${table.keyArray('d')})::pg_catalog.text FROM _ek_done d${beside} WHERE ${condition} LIMIT 1)`
}

const keyMoved =
  ' now: a trigger does that. A row whose key moves can be done twice, or never. Nothing of this batch was written. Keep the trigger from changing the key, or use a key that stays, and start a new run.'

/** Up to three keys of rows that match after they were changed. */
export function stillSql(table: TableSql): string {
  return `(SELECT coalesce(pg_catalog.jsonb_agg(${table.keyArray('d')}), '[]')
    FROM (SELECT * FROM _ek_done WHERE _ek_matches_still LIMIT 3) AS d)`
}
