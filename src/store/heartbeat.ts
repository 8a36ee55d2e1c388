import type { Control } from './control.ts'

/** Counts the heartbeat up, and gives the new count. */
export async function countBeat({ db, s }: Control): Promise<bigint> {
  const { rows } = await db.query<{ beat: string }>(`UPDATE ${s}.heartbeat SET beat = beat + 1 RETURNING beat`)
  return beatOf(rows, s)
}

/**
 * The count that a replica shows. Fails on a server that is none: a reader's address that falls back to the primary when
 * there is no reader left would show every beat at once, and nobody would be waited for.
 */
export async function readBeat({ db, s }: Pick<Control, 'db' | 's'>): Promise<bigint> {
  const { rows } = await db.query<{ beat: string; replica: boolean }>(
    `SELECT beat, pg_catalog.pg_is_in_recovery() AS replica FROM ${s}.heartbeat`,
  )
  if (rows[0]?.replica === false) throw new Error('this is no replica but a primary: REPLICA_URLS names replicas only')
  return beatOf(rows, s)
}

function beatOf(rows: ReadonlyArray<{ beat: string }>, s: string): bigint {
  const [row] = rows
  if (!row) throw new Error(`${s}.heartbeat is empty: the control schema was tampered with`)
  return BigInt(row.beat)
}
