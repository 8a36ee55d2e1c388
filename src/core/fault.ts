import { z } from 'zod'
import { IndexLost, messageOf, Problem } from './errors.ts'
import { isSqlState, sqlstateOf, sqlstates } from './sqlstate.ts'

/**
 * How a worker recovers from a fault in a batch.
 *
 * `halve`: the database turned this batch away; try the same window with half the rows. `leave`: a row waits for a
 * lock; find the rows that wait and leave them for later. `hold`: the database cannot serve us now, which says nothing
 * about the job; the range waits, longer each time, for as long as it takes. `bisect`: a row cannot be changed; find
 * the rows that fail by themselves and set them aside. `stop`: the job, the schema or our code is wrong, and another
 * try would end the same way.
 */
export type Recovery = 'halve' | 'leave' | 'hold' | 'bisect' | 'stop'

/** Every kind of fault that can end a batch, with the recovery from it. */
export const faults = {
  serialization: 'halve',
  deadlock: 'halve',
  'lock-timeout': 'leave',
  'statement-timeout': 'halve',
  'out-of-memory': 'halve',
  connection: 'hold',
  'read-only': 'hold',
  'too-many-connections': 'hold',
  'disk-full': 'hold',
  resources: 'hold',
  authentication: 'hold',
  system: 'hold',
  'no-index': 'hold',
  data: 'bisect',
  job: 'stop',
} as const satisfies Readonly<Record<string, Recovery>>
export type Fault = keyof typeof faults
export const faultNames = Object.keys(faults) as Fault[]

/** How many batches of a range ended in each kind of fault. */
export type FaultCounts = Readonly<Partial<Record<Fault, number>>>

/** Fault counts as a range stores them. */
export const faultCountsSchema: z.ZodType<FaultCounts> = z.partialRecord(z.enum(faultNames), z.int())

/** By SQLSTATE, or by its class if the whole class has one meaning. */
const bySqlstate: Readonly<Record<string, Fault>> = {
  [sqlstates.serialization_failure]: 'serialization', // also on a standby that was just promoted
  [sqlstates.deadlock_detected]: 'deadlock',
  [sqlstates.lock_not_available]: 'lock-timeout',
  [sqlstates.query_canceled]: 'statement-timeout',
  [sqlstates.transaction_timeout]: 'statement-timeout', // it also ends the session; the next begins with half the rows
  [sqlstates.out_of_memory]: 'out-of-memory', // a smaller batch needs less of it

  '08': 'connection', // connection_exception
  [sqlstates.statement_completion_unknown]: 'connection',
  [sqlstates.admin_shutdown]: 'connection',
  [sqlstates.crash_shutdown]: 'connection',
  [sqlstates.cannot_connect_now]: 'connection', // starting, stopping, or a standby that accepts no sessions yet
  [sqlstates.database_dropped]: 'connection', // it may be restored
  [sqlstates.idle_session_timeout]: 'connection',
  [sqlstates.idle_in_transaction_session_timeout]: 'connection',
  [sqlstates.read_only_sql_transaction]: 'read-only', // a primary that was demoted, a standby that is not promoted yet
  [sqlstates.too_many_connections]: 'too-many-connections',
  [sqlstates.disk_full]: 'disk-full',
  53: 'resources', // insufficient_resources
  28: 'authentication', // invalid_authorization_specification, invalid_password: a role is being changed
  58: 'system', // system_error: I/O of the server

  '09': 'data', // triggered_action_exception
  20: 'data', // case_not_found: in a function, for the value of this row
  21: 'data', // cardinality_violation: a subquery returns several rows for this one
  22: 'data', // data_exception
  23: 'data', // integrity_constraint_violation
  [sqlstates.transaction_integrity_constraint_violation]: 'data',
  27: 'data', // triggered_data_change_violation
  '2F': 'data', // sql_routine_exception: a function ends without RETURN for this row
  38: 'data', // external_routine_exception
  39: 'data', // external_routine_invocation_exception
  44: 'data', // with_check_option_violation
  54: 'data', // program_limit_exceeded: this row's value is too large for an index, or nested too deep
  HV: 'data', // fdw_error: a trigger writes this row to a foreign table
  [sqlstates.ek_halt]: 'job', // halt() of the control schema
  P0: 'data', // plpgsql_error: a function or a trigger raises
}

/**
 * Postgres' own classes that say nothing about a row: a wrong statement, a missing right, an internal error. A class
 * that Postgres does not have was raised by a user's function.
 */
const ofJob = new Set('00 01 02 03 0A 0B 0F 0L 0P 0Z 10 24 25 26 2B 2D 34 3B 3D 3F 40 42 55 57 58 72 F0 XX'.split(' '))

/** The routine of RAISE, which may use any SQLSTATE: a trigger may refuse a row with insufficient_privilege. */
const raised = 'exec_stmt_raise'

/**
 * Routines that report a limit of the whole server with an SQLSTATE that elsewhere concerns one row or one batch: the
 * queue of notifications is full, transaction numbers run out, the lock table is full. A routine's name is never
 * translated.
 */
const serverLimits = new Set([
  'PreCommit_Notify',
  'asyncQueueAddEntries',
  'GetNewTransactionId',
  'GetNewMultiXactId',
  'LockAcquireExtended',
  'SetupLockInTable',
])

/** Classes of errors that the values of a row cause, or a constraint on them. */
const ofValues = new Set('09 20 21 22 23 27 2F 44'.split(' '))

/** After these errors Postgres ends the session. */
const endsSession = [
  'admin_shutdown',
  'crash_shutdown',
  'cannot_connect_now',
  'database_dropped',
  'idle_session_timeout',
  'idle_in_transaction_session_timeout',
  'transaction_timeout',
] as const

/** Errors that the driver or a job's code throws because of a defect of its own. */
const defects = [TypeError, RangeError, ReferenceError, SyntaxError, EvalError, URIError]

// Routines that refuse a session before it begins: the database is closed to connections, gone, or not ours to enter.
// Statements raise the same SQLSTATEs with another meaning. A routine's name is never translated.
const sessionStart = new Set(['InitPostgres', 'CheckMyDatabase'])

/** Classifies a thrown error. One without an SQLSTATE came from the connection, unless it is a defect of ours. */
export function classifyError(error: unknown): Fault {
  if (error instanceof IndexLost) return 'no-index'
  if (error instanceof Problem || defects.some((defect) => error instanceof defect)) return 'job'
  const sqlstate = sqlstateOf(error)
  const { routine = '', position } = error as { routine?: string; position?: string }
  if (sqlstate === null) return isOverdue(error) ? 'statement-timeout' : 'connection'
  if (sessionStart.has(routine)) return 'connection'
  if (serverLimits.has(routine) && ['53', '54'].includes(sqlstate.slice(0, 2))) return 'resources'
  const sqlclass = sqlstate.slice(0, 2)
  const known = bySqlstate[sqlstate] ?? bySqlstate[sqlclass]
  if (known) return known
  if (isRaised(error) || !ofJob.has(sqlclass)) return 'data'
  // undefined_object that the statement does not name: a value that its type does not have, as for regconfig.
  return sqlstate === sqlstates.undefined_object && position === undefined ? 'data' : 'job'
}

/**
 * The recovery from a thrown error. A server's SQLSTATE raised inside a function may concern the row that the function
 * was called for. Bisection shows whether other rows pass.
 */
export function recoveryFrom(error: unknown): Recovery {
  const answer = faults[classifyError(error)]
  return (answer === 'hold' && isFromFunction(error)) || (answer === 'leave' && isRaised(error)) ? 'bisect' : answer
}

/**
 * Whether an error concerns the values of a row: a row that fails alone with it is at fault. Any other error may come
 * from a state that all rows meet alike.
 */
export function isAboutValues(error: unknown): boolean {
  const sqlstate = sqlstateOf(error) ?? ''
  return sqlstate === sqlstates.transaction_integrity_constraint_violation || ofValues.has(sqlstate.slice(0, 2))
}

/** Whether the driver gave up waiting for an answer. The statement may still run in the server. */
export function isOverdue(error: unknown): boolean {
  return error instanceof Error && error.message === 'Query read timeout'
}

/** Whether the session that raised an error is unusable. */
export function endsItsSession(error: unknown): boolean {
  return isOverdue(error) || (!isRaised(error) && isSqlState(error, ...endsSession))
}

function isRaised(error: unknown): boolean {
  return (error as { routine?: string }).routine === raised
}

/** Postgres ending a session says nothing about a row, unless a function raised the SQLSTATE itself. */
function isFromFunction(error: unknown): boolean {
  const { where } = error as { where?: string }
  return isRaised(error) || (where !== undefined && !isSqlState(error, ...endsSession))
}

/** Whether the job or its data is at fault, and not the state of Postgres. */
export function concernsJob(error: unknown): boolean {
  return ['bisect', 'stop'].includes(recoveryFrom(error))
}

/** Whether Postgres is unreachable or cannot serve, rather than refusing the request. */
export function isOutage(error: unknown): boolean {
  if (sqlstateOf(error) !== null) return recoveryFrom(error) === 'hold' || classifyError(error) === 'out-of-memory'
  const { code, message = '' } = error as { code?: unknown; message?: string }
  // Node's system errors have a code; the driver's own errors have only a message.
  return typeof code === 'string'
    ? /^E[A-Z]+$/.test(code)
    : /^Connection terminated|^timeout exceeded when trying to connect/.test(message) || isOverdue(error)
}

/** The SQLSTATE to record for a fault of a batch: query_canceled if the driver gave up before the server answered. */
export function faultSqlstate(error: unknown): string | null {
  return sqlstateOf(error) ?? (isOverdue(error) ? sqlstates.query_canceled : null)
}

/**
 * The tuple and the relation that a session waited for when its lock timeout ended, in the server's language: `while
 * locking tuple (0,5) in relation "customers"`. Null if it waited for no tuple. Later lines may hold statements with
 * values and are left out.
 */
export function lockedPlace(error: unknown): string | null {
  const { where = '' } = error as { where?: string }
  const [line = ''] = where.split('\n')
  return /\(\d+,\d+\)/.test(line) ? line : null
}

// Errors to which Postgres adds the contents of the failed row. Its words do not show that: they are in the server's
// language.
const withWholeRow = ['not_null_violation', 'check_violation', 'with_check_option_violation'] as const

/**
 * Postgres' message on a row or a batch, for people. The contents of a whole row, which some errors carry, are left
 * out.
 */
export function describeFault(error: unknown): string {
  if (isOverdue(error))
    return 'no answer in time: the statement, or what its commit does (deferred constraints and triggers), takes too long'
  const { detail } = error as { detail?: string }
  const place = classifyError(error) === 'lock-timeout' ? lockedPlace(error) : null
  const shown = detail && !isSqlState(error, ...withWholeRow) ? detail : place
  return `${messageOf(error)}${shown ? ` (${shown})` : ''}`
}
