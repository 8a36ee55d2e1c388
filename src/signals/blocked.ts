import { z } from 'zod'
import type { Reading } from '../core/throttle/signal.ts'
import { type Ask, askOne } from '../postgres/ask.ts'
import { type RowOf, statement } from '../postgres/statement.ts'
import { engineName, hidden, ours } from './foreground-sessions.ts'
import { count, mayNotSee, unknown } from './messages.ts'

/**
 * Sessions that wait for a lock of a batch. pg_blocking_pids takes all locks of the lock manager, so it is called only
 * for sessions that wait for a lock. A healthy database has few of them.
 */
const readBlockedSql = statement(
  'blocked',
  {
    role: z.string(),
    hidden: z.number(),
    waiting: z.number(),
    seconds: z.number().nullable(),
    pid: z.number().nullable(),
    name: z.string().nullable(),
  },
  `WITH sessions AS MATERIALIZED (
      SELECT pid, application_name, wait_event_type, query_start, ${ours} AS ours, ${hidden} AS hidden
      FROM pg_catalog.pg_stat_activity
    ), waiting AS MATERIALIZED (
      SELECT pid, application_name, query_start, pg_catalog.pg_blocking_pids(pid) AS blockers
      FROM sessions WHERE wait_event_type = 'Lock' AND NOT ours
    ), blocked AS (
      SELECT * FROM waiting
      WHERE EXISTS (SELECT FROM sessions WHERE application_name = '${engineName}' AND pid = ANY (blockers))
    ), longest AS (
      SELECT pid, application_name FROM blocked ORDER BY query_start LIMIT 1
    )
    SELECT current_user::text AS role,
      (SELECT count(*)::int FROM sessions WHERE hidden AND NOT ours) AS hidden,
      (SELECT count(*)::int FROM blocked) AS waiting,
      (SELECT greatest(0, extract(epoch FROM pg_catalog.clock_timestamp() - min(query_start)))::float8 FROM blocked) AS seconds,
      (SELECT pid FROM longest) AS pid,
      (SELECT application_name FROM longest) AS name`,
)

/** Samples in a row in which a session waited for a lock of ours. */
export function blockedReader(ask: Ask): () => Promise<Reading[]> {
  let inARow = 0
  return async () => {
    const blocked = await askOne(ask, readBlockedSql)
    if (blocked.waiting === 0 && blocked.hidden > 0) {
      return [unknown('blocked', mayNotSee(blocked.role, 'whether sessions of other roles wait (pg_stat_activity)'))]
    }
    inARow = blocked.waiting === 0 ? 0 : inARow + 1
    return [{ signal: 'blocked', value: inARow, detail: describe(blocked) }]
  }
}

function describe({ waiting, seconds, pid, name }: RowOf<typeof readBlockedSql>): string {
  if (waiting === 0) return 'no session'
  const since = `since ${(seconds ?? 0).toFixed(1)} s`
  return `${count(waiting, 'session', 'sessions')}, ${since}: pid ${pid}${name ? ` (${name})` : ''}`
}
