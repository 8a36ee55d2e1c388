import { z } from 'zod'
import type { Reading } from '../core/throttle/signal.ts'
import { type Ask, askOne } from '../postgres/ask.ts'
import { statement } from '../postgres/statement.ts'
import { hidden, ours } from './foreground-sessions.ts'
import { count, mayNotSee, unknown } from './messages.ts'

/** Activity of the foreground's sessions, or why it is unknown. */
export type Activity =
  | { readonly unknown: string }
  | {
      readonly unknown: null
      /** Sessions active in the server now. */
      readonly active: number
      /** Sessions active now or within the last second. */
      readonly recent: number
    }

/**
 * A transaction of a millisecond is over before it can be sampled. Its trace is the time when its session last changed
 * state.
 */
const readActivitySql = statement(
  'active',
  { role: z.string(), hidden: z.number(), untracked: z.number(), active: z.number(), recent: z.number() },
  `SELECT current_user::text AS role,
      count(*) FILTER (WHERE ${hidden})::int AS hidden,
      count(*) FILTER (WHERE client AND state = 'disabled')::int AS untracked,
      count(*) FILTER (WHERE client AND state = 'active' AND wait_event_type IS DISTINCT FROM 'Client')::int AS active,
      count(*) FILTER (WHERE client AND (state = 'active'
        OR state_change > pg_catalog.clock_timestamp() - interval '1 second'))::int AS recent
    FROM (
      SELECT *, backend_type = 'client backend' AS client FROM pg_catalog.pg_stat_activity WHERE NOT ${ours}
    ) AS others`,
)

export async function readActivity(ask: Ask): Promise<Activity> {
  const row = await askOne(ask, readActivitySql)
  if (row.hidden > 0) return { unknown: mayNotSee(row.role, 'the activity of other roles (pg_stat_activity)') }
  if (row.untracked > 0) return { unknown: 'sessions do not report their activity: set track_activities = on' }
  return { unknown: null, active: row.active, recent: row.recent }
}

const looksAveraged = 10

/**
 * Foreground sessions active per core of the server, averaged over the last samples. At any moment half a dozen may be
 * active on a server that is mostly idle.
 */
export function activeReader(cores: number): (activity: Activity) => Reading {
  let looks: readonly number[] = []
  return (activity) => {
    if (activity.unknown !== null) {
      looks = []
      return unknown('active', activity.unknown)
    }
    looks = [...looks, activity.active].slice(-looksAveraged)
    const sessions = looks.reduce((sum, active) => sum + active, 0) / looks.length
    const detail = `${Math.round(sessions * 10) / 10} sessions on ${count(cores, 'core', 'cores')}`
    return { signal: 'active', value: sessions / cores, detail }
  }
}

/** Foreground sessions active now or within the last second. */
export function recentOthers(activity: Activity): Reading {
  if (activity.unknown !== null) return unknown('foreground', activity.unknown)
  const { recent } = activity
  return {
    signal: 'foreground',
    value: recent,
    detail: `${count(recent, 'session', 'sessions')} within the last second`,
  }
}
