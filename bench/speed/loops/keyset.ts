import type { Client } from 'pg'
import { target } from '../../support/target.ts'
import type { Loop } from './loop.ts'

const { table, key, column, value } = target

/**
 * What somebody writes by hand who knows Postgres well: the yardstick for what the service costs. Like the service it
 * skips rows that others hold, finds rows again by ctid, plans once, and does not let commits wait for the disk. Unlike
 * the service it keeps no checkpoint, writes down no row that it skipped, and listens to nobody.
 */
export function keysetLoop(batchRows: number): Loop {
  return async (client) => {
    await client.query('SET synchronous_commit = off')
    await client.query('SET enable_seqscan = off')
    await client.query('SET plan_cache_mode = force_generic_plan')
    for (let last = await batch(client, batchRows, null); last !== null; ) last = await batch(client, batchRows, last)
  }
}

/** Returns the last key, or null where there is none left. */
async function batch(client: Client, rows: number, last: string | null): Promise<string | null> {
  const result = await client.query<{ last: string }>({
    name: last === null ? 'first' : 'next',
    text: `
      WITH batch AS MATERIALIZED (
        SELECT ${key}, ctid AS at FROM ${table}
        WHERE ${last === null ? '' : `(${key}) > ($1) AND`} ${column} IS NULL
        ORDER BY ${key} LIMIT ${rows} FOR NO KEY UPDATE SKIP LOCKED
      ), changed AS (
        UPDATE ${table} SET ${column} = ${value} WHERE ctid = ANY (ARRAY (SELECT at FROM batch))
      )
      SELECT ${key} AS last FROM batch ORDER BY ${key} DESC LIMIT 1`,
    values: last === null ? [] : [last],
  })
  return result.rows[0]?.last ?? null
}
