import type { Ask } from '../postgres/ask.ts'
import { mayNotSee } from './messages.ts'

/** Why this role cannot tell whether others are at work, and what to do; null where it can. */
export async function visibilityFault(ask: Ask): Promise<string | null> {
  const [row] = await ask<{ role: string; sees: boolean }>({
    name: 'sight',
    text: `SELECT current_user::text AS role, pg_catalog.pg_has_role(current_user, 'pg_read_all_stats', 'USAGE') AS sees`,
  })
  return row?.sees ? null : mayNotSee(String(row?.role), 'what sessions of other roles do (pg_stat_activity)')
}
