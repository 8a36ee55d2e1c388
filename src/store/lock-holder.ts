import { z } from 'zod'
import { statement } from '../postgres/statement.ts'
import type { Control } from './control.ts'

const holderColumns = {
  /** 0 for a prepared transaction, which no session holds. */
  pid: z.number(),
  name: z.string().nullable(),
  /** When the transaction began, if this role may see it. */
  since: z.date().nullable(),
  prepared: z.string().nullable(),
  /** The table or index whose lock the session waits for, if it waits for one of those. */
  relation: z.string().nullable(),
}

/** The transaction that blocks a session. */
export type Holder = Readonly<z.output<z.ZodObject<typeof holderColumns>>>

const findHolderSql = statement(
  'findHolder',
  holderColumns,
  () => `SELECT b.pid, nullif(a.application_name, '') AS name, a.xact_start AS since,
       (SELECT p.gid FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_prepared_xacts p ON p.transaction = l.transactionid
        WHERE l.pid = $1::int AND NOT l.granted AND b.pid = 0 LIMIT 1) AS prepared,
       (SELECT l.relation::pg_catalog.regclass::text FROM pg_catalog.pg_locks l
        WHERE l.pid = $1::int AND l.relation IS NOT NULL AND (NOT l.granted OR l.locktype = 'tuple')
        ORDER BY l.granted LIMIT 1) AS relation
     FROM pg_catalog.unnest(pg_catalog.pg_blocking_pids($1::int)) AS b (pid)
     LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = b.pid
     ORDER BY a.wait_event_type IS NOT DISTINCT FROM 'Lock', a.xact_start LIMIT 1`,
)

/**
 * The transaction that blocks this backend now; null if the backend is not waiting. Of several, one that is itself not
 * blocked.
 */
export function findHolder(control: Control, pid: number): Promise<Holder | null> {
  return findHolderSql.first(control, [pid])
}

const endBackendSql = statement(
  'endBackend',
  { ended: z.boolean() },
  () => 'SELECT pg_catalog.pg_terminate_backend($1::int) AS ended',
)

/** Ends a backend of ours that still executes a statement which its client has abandoned. */
export async function endBackend(control: Control, pid: number): Promise<void> {
  await endBackendSql.one(control, [pid])
}
