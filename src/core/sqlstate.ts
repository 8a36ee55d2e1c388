/** SQLSTATEs by their Postgres names (appendix A of its manual), and those of our own functions (EK…). */
export const sqlstates = {
  statement_completion_unknown: '40003',
  transaction_integrity_constraint_violation: '40002',
  serialization_failure: '40001',
  deadlock_detected: '40P01',
  lock_not_available: '55P03',
  query_canceled: '57014',
  admin_shutdown: '57P01',
  crash_shutdown: '57P02',
  cannot_connect_now: '57P03',
  database_dropped: '57P04',
  idle_session_timeout: '57P05',
  idle_in_transaction_session_timeout: '25P03',
  transaction_timeout: '25P04',
  read_only_sql_transaction: '25006',
  out_of_memory: '53200',
  too_many_connections: '53300',
  disk_full: '53100',
  not_null_violation: '23502',
  unique_violation: '23505',
  check_violation: '23514',
  with_check_option_violation: '44000',
  numeric_value_out_of_range: '22003',
  invalid_datetime_format: '22007',
  datetime_field_overflow: '22008',
  character_not_in_repertoire: '22021',
  untranslatable_character: '22P05',
  invalid_text_representation: '22P02',
  invalid_schema_name: '3F000',
  insufficient_privilege: '42501',
  syntax_error: '42601',
  undefined_column: '42703',
  undefined_object: '42704',
  ambiguous_function: '42725',
  datatype_mismatch: '42804',
  undefined_function: '42883',
  undefined_table: '42P01',
  ambiguous_parameter: '42P08',
  indeterminate_datatype: '42P18',
  /** Raised by a batch that would never end. */
  ek_halt: 'EK001',
  /** Raised by a batch whose fence is shut, on a table with statement triggers. */
  ek_fence_shut: 'EK002',
} as const
export type SqlStateName = keyof typeof sqlstates

/**
 * The SQLSTATE of an error that Postgres sent; null for any other. Errors of Node's (EPIPE, EPERM) have a code but no
 * severity.
 */
export function sqlstateOf(error: unknown): string | null {
  const { code, severity } = (error ?? {}) as { code?: unknown; severity?: unknown }
  return typeof code === 'string' && typeof severity === 'string' ? code : null
}

/** Whether Postgres sent this error with one of these SQLSTATEs. */
export function isSqlState(error: unknown, ...names: readonly SqlStateName[]): boolean {
  const sqlstate = sqlstateOf(error)
  return names.some((name) => sqlstates[name] === sqlstate)
}
