import type { Client } from 'pg'

/** A way of backfilling that one session is enough for; returns when there is nothing left to write. */
export type Loop = (client: Client) => Promise<void>

/** One transaction, as a driver's helper for it sends it. */
export async function transaction<T>(client: Client, work: () => Promise<T>): Promise<T> {
  await client.query('BEGIN')
  const result = await work()
  await client.query('COMMIT')
  return result
}
