import type { Fault } from '../core/fault.ts'
import type { Cursor, Leaf, Target } from '../core/range/key.ts'
import type { KeyRange, RangeKind } from '../core/range/range.ts'
import type { RangeState } from '../core/run/next-step.ts'
import { wakesAt } from './clock.ts'
import type { Control } from './control.ts'
import type { Lease } from './leases.ts'

/** A range as people see it. */
export interface RangeRow {
  readonly ordinal: number
  readonly kind: RangeKind
  readonly leaf: Leaf | null
  readonly lower: Cursor | null
  readonly upper: Cursor | null
  readonly cursor: Cursor | null
  readonly done: boolean
  readonly epoch: string
  readonly leaseOwner: string | null
  readonly leaseUntil: Date | null
  readonly rowsScanned: number
  readonly rowsDone: number
  readonly rowsGone: number
  readonly batches: number
  readonly batchSize: number | null
  /** Slices in a row that ended in trouble. */
  readonly attempts: number
  /** How often its batches ended in a fault, by its kind. */
  readonly faults: Readonly<Partial<Record<Fault, number>>>
  readonly checkpointedAt: Date | null
}

/** Writes a run's ranges: its slices of the key space, one for stragglers and those of the checks. */
export async function insertRanges(
  control: Control,
  runId: string,
  ranges: readonly KeyRange[],
  residual: readonly KeyRange[],
  pages: readonly KeyRange[],
): Promise<void> {
  const stragglers = { leaf: null, lower: null, upper: null, kind: 'stragglers' as RangeKind }
  await appendRanges(control, runId, [
    ...ranges.map((range) => ({ ...range, kind: 'keys' as RangeKind })),
    stragglers,
    ...residual.map((range) => ({ ...range, kind: 'residual' as RangeKind })),
    ...pages.map((range) => ({ ...range, kind: 'pages' as RangeKind })),
  ])
}

/** Behind those that are there; the caller holds the run's row, so that no second one counts to the same ordinal. */
async function appendRanges(
  { db, s }: Control,
  runId: string,
  ranges: ReadonlyArray<KeyRange & { kind: RangeKind; batchSize?: number }>,
): Promise<void> {
  await db.query(
    `INSERT INTO ${s}.ranges (run_id, ordinal, kind, leaf, lower_key, upper_key, cursor, batch_size)
     SELECT $1, (SELECT coalesce(max(ordinal) + 1, 0) FROM ${s}.ranges WHERE run_id = $1) + n - 1, kind, leaf, lower, upper, lower, "batchSize"
     FROM ROWS FROM (jsonb_to_recordset($2::jsonb)
       AS (kind text, leaf jsonb, lower text[], upper text[], "batchSize" int)) WITH ORDINALITY AS given (kind, leaf, lower, upper, "batchSize", n)`,
    [runId, JSON.stringify(ranges)],
  )
}

/**
 * Cuts what is left of a leased range at keys, ascending: the lease keeps what is before the first, and the rest becomes
 * ranges of their own. False when the range is no longer as the caller knows it; then nothing has changed.
 * The caller holds the run's row.
 */
export async function splitRange(
  control: Control,
  lease: Pick<Lease, 'runId' | 'ordinal' | 'kind' | 'leaf' | 'epoch' | 'cursor' | 'upper'>,
  keys: readonly Cursor[],
  batchSize: number,
): Promise<boolean> {
  const { runId, ordinal, kind, leaf, epoch, cursor, upper } = lease
  const { rowCount } = await control.db.query(
    `UPDATE ${control.s}.ranges SET upper_key = $6 WHERE run_id = $1 AND ordinal = $2 AND epoch = $3 AND NOT done
       AND cursor IS NOT DISTINCT FROM $4 AND upper_key IS NOT DISTINCT FROM $5`,
    [runId, ordinal, epoch, cursor, upper, keys[0]],
  )
  if (rowCount !== 1) return false
  await appendRanges(
    control,
    runId,
    keys.map((lower, index) => ({ leaf, kind, lower, upper: keys[index + 1] ?? upper, batchSize })),
  )
  return true
}

/**
 * Gives partitions that the run was not planned with a range to be worked off and one to be checked; returns how many
 * there are. The caller holds the run's row.
 */
export async function insertMissingLeaves(control: Control, runId: string, { schema, table }: Target): Promise<number> {
  const { rows } = await control.db.query<Leaf>(
    `SELECT l.schema, l.name AS table, l.oid::text FROM ${control.s}.leaves($2, $3) AS l
     WHERE NOT EXISTS (SELECT FROM ${control.s}.ranges r WHERE r.run_id = $1 AND r.kind = 'residual'
       AND r.leaf->>'oid' = l.oid::text)`,
    [runId, schema, table],
  )
  const kinds: readonly RangeKind[] = ['keys', 'residual', 'pages']
  await appendRanges(
    control,
    runId,
    rows.flatMap((leaf) => kinds.map((kind) => ({ leaf, lower: null, upper: null, kind }))),
  )
  return rows.length
}

/** Opens ranges again whose partition was gone and is back; returns their kinds. The caller holds the run's row. */
export async function reopenReturnedLeaves(
  { db, s }: Control,
  runId: string,
  { schema, table }: Target,
): Promise<RangeKind[]> {
  const { rows } = await db.query<{ kind: RangeKind }>(
    `UPDATE ${s}.ranges r SET done = false, gone = false FROM ${s}.leaves($2, $3) AS l
     WHERE r.run_id = $1 AND r.gone AND r.leaf->>'oid' = l.oid::text RETURNING r.kind`,
    [runId, schema, table],
  )
  return rows.map(({ kind }) => kind)
}

/** How many ranges of a kind are not done yet, at work or waiting. */
export async function countOpenRanges({ db, s }: Control, { runId, kind }: Lease): Promise<number> {
  const { rows } = await db.query<{ count: number }>(
    `SELECT count(*)::int AS count FROM ${s}.ranges WHERE run_id = $1 AND kind = $2 AND NOT done`,
    [runId, kind],
  )
  return rows[0]?.count ?? 0
}

export async function listRanges({ db, s }: Control, runId: string): Promise<RangeRow[]> {
  const { rows } = await db.query<RangeRow>(
    `SELECT ordinal, kind, leaf, lower_key AS lower, upper_key AS upper, cursor, done, epoch::text, lease_owner AS "leaseOwner",
       lease_until AS "leaseUntil", rows_scanned::float8 AS "rowsScanned", rows_done::float8 AS "rowsDone",
       rows_gone::float8 AS "rowsGone", batches::float8 AS batches, batch_size AS "batchSize", attempts, faults, checkpointed_at AS "checkpointedAt"
     FROM ${s}.ranges WHERE run_id = $1 ORDER BY ordinal`,
    [runId],
  )
  return rows
}

/** Ranges as `nextStep` decides on them: those that are open, or in a worker's hand, and all of the check by pages. A lease that has run out counts until the rescuer has taken it, and said so. */
export async function listRangeStates(
  { db, s }: Control,
  runIds: readonly string[],
): Promise<Map<string, RangeState[]>> {
  const { rows } = await db.query<RangeState & { runId: string }>(
    `SELECT run_id AS "runId", ordinal, kind, done, (ticket IS NOT NULL OR lease_owner IS NOT NULL) AS taken,
       cursor IS DISTINCT FROM lower_key AS begun,
       coalesce(${wakesAt('r')} > clock_timestamp(), false) AS waiting
     FROM ${s}.ranges r WHERE run_id = ANY($1) AND NOT (done AND kind <> 'pages' AND ticket IS NULL AND lease_owner IS NULL) ORDER BY run_id, ordinal`,
    [runIds],
  )
  const states = new Map<string, RangeState[]>()
  for (const { runId, ...state } of rows) {
    const known = states.get(runId)
    if (known) known.push(state)
    else states.set(runId, [state])
  }
  return states
}

/**
 * Waits for every batch of these runs that is in flight, then raises all epochs: from here on no worker's batch can commit.
 * The caller holds the runs' rows, so that no second one does this in another order.
 */
export async function fenceRanges({ db, s }: Control, runIds: readonly string[]): Promise<void> {
  if (runIds.length === 0) return
  await db.query(
    `UPDATE ${s}.ranges SET epoch = epoch + 1, lease_owner = NULL, lease_until = NULL, ticket = NULL, wake_at = NULL,
       throttle = NULL, attempts = 0 WHERE run_id = ANY($1)`,
    [runIds],
  )
}

/** Sends the checks over the table once more. */
export async function reopenResidual({ db, s }: Control, runId: string): Promise<void> {
  await db.query(
    `UPDATE ${s}.ranges SET done = false, gone = false, cursor = lower_key, rows_scanned = 0, recent_rows = 0 WHERE run_id = $1 AND kind IN ('residual', 'pages')`,
    [runId],
  )
}

/** Takes back what was decided under options that have changed: of ranges that nobody holds, waits and tickets, of which there may be too many now. */
export async function wakeRanges({ db, s }: Control, runId: string): Promise<void> {
  // What waits after an error does not wait for an option.
  await db.query(
    `UPDATE ${s}.ranges SET wake_at = NULL, ticket = NULL
     WHERE run_id = $1 AND lease_owner IS NULL AND attempts = 0 AND (ticket IS NOT NULL OR wake_at > clock_timestamp())`,
    [runId],
  )
}
