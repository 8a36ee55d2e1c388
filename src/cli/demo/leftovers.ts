import { Redis } from 'ioredis'
import type { Pool } from 'pg'

/** Removes the keys of the demo's queue from the user's Redis. Only they have the demo's prefix. */
export async function removeTickets(redisUrl: string, pool: Pool): Promise<void> {
  const { rows } = await pool.query<{ id: string }>('SELECT id FROM evenkeel.instance')
  const id = rows[0]?.id
  if (id === undefined) return
  const redis = new Redis(redisUrl, { maxRetriesPerRequest: 1 })
  redis.on('error', () => {})
  try {
    for await (const keys of redis.scanStream({ match: `evenkeel-${id}:*`, count: 1000 })) {
      if (keys.length > 0) await redis.unlink(...(keys as string[]))
    }
  } finally {
    redis.disconnect()
  }
}
