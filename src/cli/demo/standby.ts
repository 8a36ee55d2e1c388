import { setTimeout as sleep } from 'node:timers/promises'
import type { Pool } from 'pg'

export const pauseReplaySql = 'SELECT pg_wal_replay_pause()'
export const resumeReplaySql = 'SELECT pg_wal_replay_resume()'

const everyMs = 100
const catchUpWithinSeconds = 60

/** Waits until a standby has replayed all WAL that its primary has flushed, with the end of the run in it. */
export async function untilCaughtUp(primary: Pool, standby: Pool, signal: AbortSignal): Promise<void> {
  const { rows: flushed } = await primary.query<{ lsn: string }>('SELECT pg_current_wal_flush_lsn()::text AS lsn')
  const lsn = flushed[0]?.lsn
  const deadline = performance.now() + catchUpWithinSeconds * 1000
  for (;;) {
    const { rows } = await standby.query<{ caught: boolean }>(
      'SELECT pg_last_wal_replay_lsn() >= $1::pg_lsn AS caught',
      [lsn],
    )
    if (rows[0]?.caught) return
    if (performance.now() > deadline) {
      throw new Error(`the standby has not replayed ${lsn} within ${catchUpWithinSeconds} s`)
    }
    await sleep(everyMs, undefined, { signal })
  }
}
