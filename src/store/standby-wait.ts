import { z } from 'zod'
import { Problem } from '../core/errors.ts'
import { isSqlState } from '../core/sqlstate.ts'
import { statement } from '../postgres/statement.ts'
import type { Control } from './control.ts'

/** Commits of evenkeel that wait for a synchronous standby: their number, and since when the first one waits. */
export interface StandbyWait {
  readonly sessions: number
  readonly since: Date
}

const findStandbyWaitSql = statement(
  'findStandbyWait',
  { sessions: z.number(), since: z.date().nullable() },
  () => `SELECT count(*)::int AS sessions, min(state_change) AS since FROM pg_catalog.pg_stat_activity
     WHERE wait_event = 'SyncRep' AND starts_with(application_name, 'evenkeel ') AND datname = current_database()
       AND state_change < clock_timestamp() - interval '1 second'`,
)

/** Null if none has waited for a second. Sessions of the same role are visible without privileges. */
export async function findStandbyWait(control: Control): Promise<StandbyWait | null> {
  const { sessions, since } = await findStandbyWaitSql.one(control)
  return since === null ? null : { sessions, since }
}

/**
 * Turns a lock timeout into a Problem that says what may hold the lock and what to do. Returns any other error
 * unchanged.
 */
export async function refuseLocked(
  control: Control,
  what: string,
  waitSeconds: number,
  error: unknown,
): Promise<unknown> {
  if (!isSqlState(error, 'lock_not_available')) return error
  const waiting = await findStandbyWait(control)
  const why = waiting
    ? `A commit of evenkeel has waited for a synchronous standby since ${waiting.since.toISOString()}, and may hold the lock: bring the standby back, or take it out of synchronous_standby_names.`
    : 'pg_locks and pg_stat_activity show which one.'
  return new Problem(
    'unavailable',
    `${what}: another session has held a lock on its row in the control schema for ${waitSeconds.toFixed(1)} s. ${why} Nothing was changed; try again.`,
    {},
    { cause: error },
  )
}
