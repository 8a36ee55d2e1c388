import { setTimeout as sleep } from 'node:timers/promises'
import { target } from '../../support/target.ts'
import { type Loop, transaction } from './loop.ts'

const { table, key, column, value } = target
const etlRows = 10_000
const etlPauseMs = 100
const rowByRowRows = 1000

/**
 * The "ETL pattern" of the migration guides: read the keys of rows that are not done and lock them, change them by their
 * keys, commit, rest for a tenth of a second. There it is Python.
 */
export const etlLoop: Loop = async (client) => {
  const batch = async () => {
    const { rows } = await client.query(
      `SELECT ${key} FROM ${table} WHERE ${column} IS NULL LIMIT $1 FOR UPDATE SKIP LOCKED`,
      [etlRows],
    )
    if (rows.length === 0) return false
    await client.query(`UPDATE ${table} SET ${column} = ${value} WHERE ${key} = ANY ($1)`, [
      rows.map((row) => row[key]),
    ])
    return true
  }
  while (await transaction(client, batch)) await sleep(etlPauseMs)
}

/**
 * The data migration of the guides' TypeScript: read a thousand rows that are not done, compute the value in the
 * application, and write each row by a statement of its own, in one transaction. There it goes through an ORM, which
 * would cost more.
 */
export const rowByRowLoop: Loop = async (client) => {
  for (;;) {
    const { rows } = await client.query<{ key: string; amount: string }>(
      `SELECT ${key} AS key, amount_cents AS amount FROM ${table} WHERE ${column} IS NULL LIMIT $1`,
      [rowByRowRows],
    )
    if (rows.length === 0) return
    await transaction(client, async () => {
      for (const row of rows) {
        const net = (BigInt(row.amount) * 100n) / 119n
        await client.query(`UPDATE ${table} SET ${column} = $1 WHERE ${key} = $2`, [net.toString(), row.key])
      }
    })
  }
}
