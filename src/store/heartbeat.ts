import { z } from 'zod'
import { type Place, statement } from '../postgres/statement.ts'
import type { Control } from './control.ts'

const countBeatSql = statement(
  'countBeat',
  { beat: z.string() },
  (s) => `UPDATE ${s}.heartbeat SET beat = beat + 1 RETURNING beat`,
)

/** Increments the heartbeat and returns the new count. */
export async function countBeat(control: Control): Promise<bigint> {
  return BigInt((await countBeatSql.one(control)).beat)
}

const readBeatSql = statement(
  'readBeat',
  { beat: z.string(), replica: z.boolean() },
  (s) => `SELECT beat, pg_catalog.pg_is_in_recovery() AS replica FROM ${s}.heartbeat`,
)

/**
 * The count seen on a replica. Throws on a primary: a reader address that falls back to the primary would show every
 * beat at once, and lag would go unnoticed.
 */
export async function readBeat(replica: Place): Promise<bigint> {
  const row = await readBeatSql.one(replica)
  if (!row.replica) throw new Error('this server is a primary, not a replica: REPLICA_URLS must name replicas only')
  return BigInt(row.beat)
}
