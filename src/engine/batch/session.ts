import type { ClientBase } from 'pg'
import { z } from 'zod'
import type { RunOptions } from '../../core/job/options.ts'
import type { Leaf, Target } from '../../core/range/key.ts'
import { statement } from '../../postgres/statement.ts'
import { withSettings } from './author.ts'
import { atLeast, atMost, eq } from './operators.ts'

/**
 * Settings of every session that touches users' tables.
 * The timeouts bound what a foreground transaction can ever wait for us. The planner settings hold it to what was checked
 * before the run was accepted: windows by index, whatever the statistics say at three in the morning; and no JIT, whose
 * compilation costs more than a batch.
 */
export const engineSettings: Readonly<Record<string, string>> = {
  lock_timeout: '100ms',
  statement_timeout: '10s',
  idle_in_transaction_session_timeout: '10s',
  // A policy that hides rows makes a statement fail, instead of leaving them out in silence.
  row_security: 'off',
  enable_seqscan: 'off',
  enable_bitmapscan: 'off',
  plan_cache_mode: 'force_generic_plan',
  jit: 'off',
}

/**
 * How long a batch waits for a lock. Short where windows are narrowed down to rows that wait: there are many of them, and
 * each costs as much. What waits a little longer than that is left for later, and is not wrong.
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

/** Does something else in a session than batches, of which no statement may take as long as one of theirs. */
export function withTimeout<T>(client: ClientBase, seconds: number, work: () => Promise<T>): Promise<T> {
  return withSettings(client, { statement_timeout: `${seconds * 1000}ms` }, work)
}

const prepareSessionSql = statement(
  'prepareSession',
  { planCacheMode: z.string(), synchronousCommit: z.string() },
  `SELECT pg_catalog.set_config('plan_cache_mode', $1, false) AS "planCacheMode",
     pg_catalog.set_config('synchronous_commit', $2, false) AS "synchronousCommit"`,
)

/** There is such a setting since Postgres 17. A shorter one that the role has stays. */
const limitTransactionsSql = statement(
  'limitTransactions',
  { transactionTimeout: z.string() },
  `SELECT pg_catalog.set_config(name, CASE WHEN reset_val::int ${atLeast} 1 AND reset_val::int ${atMost} $1::int
       THEN reset_val ELSE $1::int::pg_catalog.text END, false) AS "transactionTimeout"
     FROM pg_catalog.pg_settings WHERE name ${eq} 'transaction_timeout'`,
)

/**
 * Makes a session ready for a range.
 *
 * How it plans: once, for a plain table or a partition. With the scans above ruled out every generic plan is the one that
 * was checked, and planning a batch anew costs as much as running a small one. Anew each time for stragglers of all
 * partitions, which are found by key: a generic plan would read the partitions whole.
 *
 * What its commits wait for: whatever the option says, rows and checkpoint are lost together or not at all, and each change
 * of status commits synchronously after them.
 *
 * How long a transaction may take, its commit with deferred triggers included, where Postgres can limit that.
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

/** For the rest of a transaction: what waits for its commit is done at the end of each statement, which is a batch. */
export async function checkConstraintsAtOnce(client: ClientBase): Promise<void> {
  await client.query('SET CONSTRAINTS ALL IMMEDIATE')
}
