import { target } from '../../support/target.ts'
import { type Loop, transaction } from './loop.ts'

const { table, key, column, value } = target
const batchRows = 1000

/**
 * The shape of the statement by which pgroll (github.com/xataio/pgroll, pkg/backfill) goes through a table: built anew for
 * each batch, rows found by key, one transaction a batch, no pause. There each row is only touched, and a trigger
 * computes the value; here the statement does, which is cheaper.
 */
export const pgrollLoop: Loop = async (client) => {
  for (let last: string | null = null; ; ) {
    const statement = batchSql(last === null ? null : client.escapeLiteral(last))
    const { rows } = await transaction(client, () => client.query<{ last: string }>(statement))
    if (!rows[0]) return
    last = rows[0].last
  }
}

function batchSql(last: string | null): string {
  return `
    WITH batch AS (
      SELECT ${key} FROM ${table} ${last === null ? '' : `WHERE ${key} > ${last}`}
      ORDER BY ${key} LIMIT ${batchRows} FOR NO KEY UPDATE
    ), changed AS (
      UPDATE ${table} SET ${column} = ${value} FROM batch WHERE ${table}.${key} = batch.${key} RETURNING ${table}.${key}
    )
    SELECT last_value(${key}) OVER () AS last FROM changed`
}
