import { z } from 'zod'
import type { Reading } from '../core/throttle/signal.ts'
import { type Ask, askOne } from '../postgres/ask.ts'
import { statement } from '../postgres/statement.ts'
import { hidden, ours } from './foreground-sessions.ts'
import { mayNotSee, unknown } from './messages.ts'

/**
 * The oldest foreground transaction in this database that vacuum has to spare rows for: one with a snapshot, one that
 * has written, or a prepared one, which outlives its session. Vacuum has a snapshot, too, and spares nothing for it.
 */
const readOldestSql = statement(
  'snapshot',
  { role: z.string(), hidden: z.number(), seconds: z.number().nullable(), who: z.string().nullable() },
  `WITH sessions AS MATERIALIZED (
      SELECT pid, application_name, xact_start, backend_type, coalesce(backend_xmin, backend_xid) IS NOT NULL AS holds,
        ${hidden} AS hidden
      FROM pg_catalog.pg_stat_activity WHERE datname = pg_catalog.current_database() AND NOT ${ours}
    ), holders AS (
      SELECT xact_start AS since, 'pid ' || pid || coalesce(' (' || nullif(application_name, '') || ')', '') AS who
      FROM sessions WHERE holds AND xact_start IS NOT NULL AND backend_type <> 'autovacuum worker'
        AND pid NOT IN (SELECT pid FROM pg_catalog.pg_stat_progress_vacuum)
      UNION ALL
      SELECT prepared, 'prepared transaction ' || gid FROM pg_catalog.pg_prepared_xacts
      WHERE database = pg_catalog.current_database()
    ), oldest AS (
      SELECT * FROM holders ORDER BY since LIMIT 1
    )
    SELECT current_user::text AS role, (SELECT count(*)::int FROM sessions WHERE hidden) AS hidden,
      (SELECT greatest(0, extract(epoch FROM pg_catalog.clock_timestamp() - since))::float8 FROM oldest) AS seconds,
      (SELECT who FROM oldest) AS who`,
)

/** Age of the oldest foreground transaction. Seconds. */
export async function snapshot(ask: Ask): Promise<Reading[]> {
  const { role, hidden, seconds, who } = await askOne(ask, readOldestSql)
  if (hidden > 0) return [unknown('snapshot', mayNotSee(role, 'transactions of other roles (pg_stat_activity)'))]
  return [{ signal: 'snapshot', value: seconds ?? 0, detail: who ?? 'no transaction' }]
}
