import { z } from 'zod'
import { liveStatuses } from '../core/run/status.ts'
import { initialPace, type Pace, paceSchema } from '../core/throttle/controller.ts'
import { type GlobalPause, globalPauseSchema } from '../core/throttle/hold.ts'
import { command, jsonb, statement } from '../postgres/statement.ts'
import { leaseHolds, secondsFrom } from './clock.ts'
import type { Control } from './control.ts'

const readPaceSql = statement(
  'readPace',
  {
    // A pace in the format of another release is ignored and learned again. A process of the previous release may write
    // one after a migration: its step is not a transaction, so it does not check the schema version.
    pace: jsonb(paceSchema.nullable().catch(null)),
    version: z.string(),
    now: z.number(),
    age: z.number(),
    workers: z.number(),
    globalPause: jsonb(globalPauseSchema).nullable(),
  },
  (s) => `SELECT p.state AS pace, p.version::text, extract(epoch FROM clock_timestamp())::float8 AS now,
       ${secondsFrom('p.stepped_at')} AS age,
       (SELECT count(*)::int FROM ${s}.runs n JOIN ${s}.ranges r ON r.run_id = n.id
         WHERE n.status = ANY($1) AND ${leaseHolds('r.lease_until')}) AS workers,
       (SELECT jsonb_build_object('reason', reason, 'actor', actor, 'since', since) FROM ${s}.global_pause) AS "globalPause"
     FROM ${s}.pace p`,
)

/** The pace shared by all processes, and the number of workers sharing it. */
export interface SharedPace {
  readonly pace: Pace
  readonly version: string
  /** Ranges of all runs that workers hold now. */
  readonly workers: number
  /**
   * `now` is the database's clock. `age` is the distance to the last step, which is in the future if the clock has gone
   * back. Seconds.
   */
  readonly now: number
  readonly age: number
  readonly globalPause: GlobalPause | null
}

export async function readPace(control: Control): Promise<SharedPace> {
  const row = await readPaceSql.one(control, [liveStatuses])
  return { ...row, pace: row.pace ?? initialPace }
}

const writePaceSql = command(
  'writePace',
  (s) => `UPDATE ${s}.pace SET state = $1, version = version + 1, stepped_at = clock_timestamp() WHERE version = $2`,
)

/** Writes the next pace. False if another process has made this step first. */
export async function writePace(control: Control, pace: Pace, version: string): Promise<boolean> {
  return (await writePaceSql.run(control, [JSON.stringify(pace), version])) === 1
}

const beginGlobalPauseSql = command(
  'beginGlobalPause',
  (s) => `INSERT INTO ${s}.global_pause (actor, reason) VALUES ($1, $2) ON CONFLICT (one) DO NOTHING`,
)

/** Begins a global pause. False if one is in force already. */
export async function beginGlobalPause(control: Control, actor: string, reason: string | null): Promise<boolean> {
  return (await beginGlobalPauseSql.run(control, [actor, reason])) === 1
}

const endGlobalPauseSql = command('endGlobalPause', (s) => `DELETE FROM ${s}.global_pause`)

export async function endGlobalPause(control: Control): Promise<boolean> {
  return (await endGlobalPauseSql.run(control)) === 1
}
