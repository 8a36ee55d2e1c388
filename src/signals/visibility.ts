import { z } from 'zod'
import { type Ask, askOne } from '../postgres/ask.ts'
import { statement } from '../postgres/statement.ts'
import { mayNotSee } from './messages.ts'

const readSightSql = statement(
  'sight',
  { role: z.string(), sees: z.boolean() },
  `SELECT current_user::text AS role, pg_catalog.pg_has_role(current_user, 'pg_read_all_stats', 'USAGE') AS sees`,
)

/** Why this role cannot see the foreground, and what to do; null if it can. */
export async function visibilityFault(ask: Ask): Promise<string | null> {
  const { role, sees } = await askOne(ask, readSightSql)
  return sees ? null : mayNotSee(role, 'the activity of other roles (pg_stat_activity)')
}
