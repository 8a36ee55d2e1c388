import type { ClientBase } from 'pg'
import type { Leaf, Target } from '../core/key.ts'
import type { RunOptions } from '../core/options.ts'
import { withSettings } from './author.ts'

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

/** Does something else in a session than batches, of which no statement may take as long as one of theirs. */
export function withTimeout<T>(client: ClientBase, seconds: number, work: () => Promise<T>): Promise<T> {
  return withSettings(client, { statement_timeout: `${seconds * 1000}ms` }, work)
}

/**
 * Makes a session ready for a range.
 *
 * How it plans: once, for a plain table or a partition. With the scans above ruled out every generic plan is the one that
 * was checked, and planning a batch anew costs as much as running a small one. Anew each time for stragglers of all
 * partitions, which are found by key: a generic plan would read the partitions whole.
 *
 * What its commits wait for: whatever the option says, rows and checkpoint are lost together or not at all, and each change
 * of status commits synchronously after them.
 */
export async function prepareSession(
  client: ClientBase,
  target: Target,
  leaf: Leaf | null,
  synchronousCommit: RunOptions['synchronousCommit'],
): Promise<void> {
  const mode = leaf || !target.partitioned ? 'force_generic_plan' : 'force_custom_plan'
  await client.query(
    "SELECT pg_catalog.set_config('plan_cache_mode', $1, false), pg_catalog.set_config('synchronous_commit', $2, false)",
    [mode, synchronousCommit],
  )
}

/** For the rest of a transaction: what waits for its commit is done at the end of each statement, which is a batch. */
export async function checkConstraintsAtOnce(client: ClientBase): Promise<void> {
  await client.query('SET CONSTRAINTS ALL IMMEDIATE')
}
