import type { ClientBase } from 'pg'
import { z } from 'zod'
import type { RunOptions } from '../../core/job/options.ts'
import type { Leaf, Target } from '../../core/range/key.ts'
import { statement } from '../../postgres/statement.ts'
import { withSettings } from './author.ts'
import { atLeast, atMost, eq } from './operators.ts'

/**
 * Settings of every session that touches users' tables. The timeouts bound how long a foreground transaction can wait
 * for us. The planner settings keep to the plan that was checked before the run was accepted: windows by index,
 * whatever the statistics say. There is no JIT, because its compilation costs more than a batch.
 */
export const engineSettings: Readonly<Record<string, string>> = {
  lock_timeout: '100ms',
  statement_timeout: '10s',
  idle_in_transaction_session_timeout: '10s',
  // With a policy that hides rows a statement fails, instead of silently leaving them out.
  row_security: 'off',
  enable_seqscan: 'off',
  enable_bitmapscan: 'off',
  plan_cache_mode: 'force_generic_plan',
  jit: 'off',
}

/**
 * How long a batch waits for a lock. Short while windows are narrowed down to rows that wait: there are many of them,
 * and each costs as much. A row whose lock takes a little longer is left for later, which does no harm.
 */
export type LockPatience = 'usual' | 'short'
const lockTimeouts = { usual: engineSettings.lock_timeout, short: '10ms' }

const setLockTimeoutSql = statement(
  'setLockTimeout',
  { lockTimeout: z.string() },
  `SELECT pg_catalog.set_config('lock_timeout', $1, false) AS "lockTimeout"`,
)

export async function setLockTimeout(client: ClientBase, patience: LockPatience): Promise<void> {
  await setLockTimeoutSql.one({ db: client }, [lockTimeouts[patience]])
}

/** Runs `work` other than batches in a session, with a shorter statement timeout than theirs. */
export function withTimeout<T>(client: ClientBase, seconds: number, work: () => Promise<T>): Promise<T> {
  return withSettings(client, { statement_timeout: `${seconds * 1000}ms` }, work)
}

const prepareSessionSql = statement(
  'prepareSession',
  { planCacheMode: z.string(), synchronousCommit: z.string() },
  `SELECT pg_catalog.set_config('plan_cache_mode', $1, false) AS "planCacheMode",
     pg_catalog.set_config('synchronous_commit', $2, false) AS "synchronousCommit"`,
)

/** The setting exists since Postgres 17. A shorter value of the role stays. */
const limitTransactionsSql = statement(
  'limitTransactions',
  { transactionTimeout: z.string() },
  `SELECT pg_catalog.set_config(name, CASE WHEN reset_val::int ${atLeast} 1 AND reset_val::int ${atMost} $1::int
       THEN reset_val ELSE $1::int::pg_catalog.text END, false) AS "transactionTimeout"
     FROM pg_catalog.pg_settings WHERE name ${eq} 'transaction_timeout'`,
)

/**
 * Prepares a session for a range.
 *
 * Planning: once, for a plain table or a partition. With the scans above ruled out, every generic plan is the one that
 * was checked, and planning each batch would cost as much as running a small one. Stragglers of all partitions are
 * planned each time, because they are found by key: a generic plan would read the partitions whole.
 *
 * Commits: whatever the option says, rows and checkpoint are lost together or not at all. Each change of status after
 * them commits synchronously.
 *
 * Transactions: their time is limited, deferred triggers at the commit included, if Postgres can.
 */
export async function prepareSession(
  client: ClientBase,
  target: Target,
  leaf: Leaf | null,
  synchronousCommit: RunOptions['synchronousCommit'],
  longestSeconds: number,
): Promise<void> {
  const mode = leaf || !target.partitioned ? 'force_generic_plan' : 'force_custom_plan'
  await prepareSessionSql.one({ db: client }, [mode, synchronousCommit])
  await limitTransactionsSql.rows({ db: client }, [Math.ceil(longestSeconds * 1000)])
}

/** For the rest of a transaction, deferred work runs at the end of each statement, which is a batch. */
export async function checkConstraintsAtOnce(client: ClientBase): Promise<void> {
  await client.query('SET CONSTRAINTS ALL IMMEDIATE')
}
