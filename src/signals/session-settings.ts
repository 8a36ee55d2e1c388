/** Settings of the sessions that read signals: a measurement must not wait for what it measures. */
export const signalSettings: Readonly<Record<string, string>> = {
  statement_timeout: '2s',
  lock_timeout: '500ms',
  idle_in_transaction_session_timeout: '5s',
  default_transaction_read_only: 'on',
  jit: 'off',
}

/** Settings of the probe's session. Its commits wait as those of a foreground transaction do. */
export const probeSettings: Readonly<Record<string, string>> = {
  statement_timeout: '2s',
  lock_timeout: '500ms',
  idle_in_transaction_session_timeout: '5s',
  synchronous_commit: 'on',
  jit: 'off',
}
