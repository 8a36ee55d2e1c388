import { liveStatuses } from '../core/run/status.ts'
import { initialPace, type Pace } from '../core/throttle/controller.ts'
import type { GlobalPause } from '../core/throttle/hold.ts'
import { leaseHolds, secondsFrom } from './clock.ts'
import type { Control } from './control.ts'

/** The pace that all processes share, and how many workers share it. */
export interface SharedPace {
  readonly pace: Pace
  readonly version: string
  /** Ranges that workers hold now, of all runs. */
  readonly workers: number
  /** Seconds on the database's clock, and between it and the last step, which is ahead where the clock has gone back. */
  readonly now: number
  readonly age: number
  readonly globalPause: GlobalPause | null
}

export async function readPace({ db, s }: Control): Promise<SharedPace> {
  const { rows } = await db.query<Omit<SharedPace, 'pace'> & { pace: Pace | null }>(
    `SELECT p.state AS pace, p.version::text, extract(epoch FROM clock_timestamp())::float8 AS now,
       ${secondsFrom('p.stepped_at')} AS age,
       (SELECT count(*)::int FROM ${s}.runs n JOIN ${s}.ranges r ON r.run_id = n.id
         WHERE n.status = ANY($1) AND ${leaseHolds('r.lease_until')}) AS workers,
       (SELECT jsonb_build_object('reason', reason, 'actor', actor, 'since', since) FROM ${s}.global_pause) AS "globalPause"
     FROM ${s}.pace p`,
    [liveStatuses],
  )
  const [row] = rows
  if (!row) throw new Error(`${s}.pace is empty: the control schema was tampered with`)
  const { globalPause } = row
  return {
    ...row,
    pace: row.pace ?? initialPace,
    globalPause: globalPause && { ...globalPause, since: new Date(globalPause.since) },
  }
}

/** Writes the next pace. False when another process has made the step: each is made once, by whoever comes first. */
export async function writePace({ db, s }: Control, pace: Pace, version: string): Promise<boolean> {
  const { rowCount } = await db.query(
    `UPDATE ${s}.pace SET state = $1, version = version + 1, stepped_at = clock_timestamp() WHERE version = $2`,
    [JSON.stringify(pace), version],
  )
  return rowCount === 1
}

/** Holds everything. False where it is held already. */
export async function beginGlobalPause({ db, s }: Control, actor: string, reason: string | null): Promise<boolean> {
  const { rowCount } = await db.query(
    `INSERT INTO ${s}.global_pause (actor, reason) VALUES ($1, $2) ON CONFLICT (one) DO NOTHING`,
    [actor, reason],
  )
  return rowCount === 1
}

export async function endGlobalPause({ db, s }: Control): Promise<boolean> {
  const { rowCount } = await db.query(`DELETE FROM ${s}.global_pause`)
  return rowCount === 1
}
