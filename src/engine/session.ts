/**
 * Settings of every session that touches users' tables.
 * The timeouts bound what a foreground transaction can ever wait for us. The planner settings hold it to what was checked
 * before the run was accepted: windows by index, whatever the statistics say at three in the morning; and no JIT, whose
 * compilation costs more than a batch.
 */
export const engineSettings: Readonly<Record<string, string>> = {
  lock_timeout: '1s',
  statement_timeout: '10s',
  idle_in_transaction_session_timeout: '10s',
  // Rows and checkpoint are lost together or not at all, and each change of status commits synchronously after them.
  synchronous_commit: 'off',
  enable_seqscan: 'off',
  enable_bitmapscan: 'off',
  // Planned once: with the scans above ruled out, every generic plan is the one that was checked, and planning a batch
  // anew costs as much as running a small one.
  plan_cache_mode: 'force_generic_plan',
  jit: 'off',
}
