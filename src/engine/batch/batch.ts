import { createHash } from 'node:crypto'
import type { ClientBase, QueryConfig } from 'pg'
import { Problem } from '../../core/errors.ts'
import type { Cursor } from '../../core/range/key.ts'
import type { CompiledSql } from '../../core/sql/template.ts'
import { isSqlState } from '../../core/sqlstate.ts'

/**
 * What a batch with its commit may take, as a multiple of the longest statement. `statement_timeout` does not count the
 * commit, which runs deferred constraints and triggers. The server ends the batch if it can. Otherwise the driver gives
 * up, and the session must be ended.
 */
export const maxBatchTime = { server: 1.2, driver: 1.4 }

/** The input of a batch: whose range, from where, how far, and how long its worker has waited for the pace. */
export interface BatchInput {
  readonly runId: string
  readonly ordinal: number
  readonly epoch: string
  readonly cursor: Cursor | null
  readonly upper: Cursor | null
  readonly limit: number
  readonly leaseSeconds: number
  readonly throttledMs: number
  /** The longest that the driver waits for it. Seconds. */
  readonly withinSeconds?: number
}

/** The result of a batch, as committed. */
export interface BatchResult {
  readonly cursor: Cursor | null
  /** The run's version. If it has changed, the run's options may have changed. */
  readonly version: number
  /** The range has reached its end. */
  readonly ended: boolean
  /** Rows the window passed over, or stragglers that were due. */
  readonly scanned: number
  readonly matched: number
  readonly done: number
  /** Rows recorded as stragglers, or left as such. */
  readonly left: number
  readonly gone: number
  /** Up to three keys of rows that match the predicate even after they were changed. */
  readonly still: readonly Cursor[]
  /** Execution and commit. Seconds. */
  readonly seconds: number
}

/**
 * Runs one batch: a single statement, prepared once per session, that commits by itself. Returns null if the fence was
 * shut: the range is no longer ours, or its run was stopped. Throws what Postgres throws. After a lost connection the
 * outcome is unknown, and only the range's row can tell it.
 */
export async function runBatch(
  client: Pick<ClientBase, 'query'>,
  statement: CompiledSql,
  input: BatchInput,
): Promise<BatchResult | null> {
  const began = performance.now()
  // The driver's types omit that a query may have a timeout of its own.
  const query: QueryConfig & { query_timeout?: number } = {
    name: statementName(statement),
    text: statement.text,
    values: batchValues(statement, input),
    ...(input.withinSeconds === undefined ? {} : { query_timeout: input.withinSeconds * 1000 }),
  }
  const { rows } = await client.query<Omit<BatchResult, 'seconds'>>(query).catch(raised)
  const [row] = rows
  return row ? { ...row, seconds: (performance.now() - began) / 1000 } : null
}

/** Handles what the statement raises through functions of the control schema: a problem to report, or a shut fence. */
function raised(error: Error): { rows: [] } {
  if (isSqlState(error, 'ek_halt')) throw new Problem('conflict', error.message, {}, { cause: error })
  if (isSqlState(error, 'ek_fence_shut')) return { rows: [] }
  throw error
}

/** The values of a batch statement, in their order. */
export function batchValues(statement: CompiledSql, input: BatchInput): unknown[] {
  return [
    input.runId,
    input.ordinal,
    input.epoch,
    input.cursor,
    input.upper,
    input.limit,
    input.leaseSeconds,
    input.throttledMs,
    ...statement.values,
  ]
}

/**
 * Whether rows that a batch reported as matching after their change still match when read again. Inside the batch, a
 * predicate that reads other rows of the table sees them as they were before.
 */
export async function stillMatch(client: ClientBase, check: CompiledSql, keys: readonly Cursor[]): Promise<boolean> {
  const { rows } = await client.query<{ count: number }>(check.text, [JSON.stringify(keys), ...check.values])
  return (rows[0]?.count ?? 0) > 0
}

// Kept as long as the statements: each partition has its own.
const names = new WeakMap<CompiledSql, string>()

// Postgres truncates names of prepared statements to 63 bytes; a hash keeps them apart.
function statementName(statement: CompiledSql): string {
  let name = names.get(statement)
  if (name === undefined) {
    name = `ek_${createHash('sha256').update(statement.text).digest('hex').slice(0, 32)}`
    names.set(statement, name)
  }
  return name
}
