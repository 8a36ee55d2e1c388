import { z } from 'zod'
import { faultCountsSchema } from '../core/fault.ts'
import { type Cursor, cursorSchema, leafSchema, type Target } from '../core/range/key.ts'
import { type PhaseName, phaseNames, phases } from '../core/range/phase.ts'
import type { PhaseRange } from '../core/range/range.ts'
import type { RangeState } from '../core/run/next-step.ts'
import { command, jsonb, statement } from '../postgres/statement.ts'
import { wakesAt } from './clock.ts'
import type { Control } from './control.ts'
import type { Lease } from './leases.ts'

const appendRangesSql = command(
  'appendRanges',
  (s) => `INSERT INTO ${s}.ranges (run_id, ordinal, phase, leaf, lower_key, upper_key, cursor, batch_size)
     SELECT $1, (SELECT coalesce(max(ordinal) + 1, 0) FROM ${s}.ranges WHERE run_id = $1) + n - 1, phase, leaf, lower, upper, lower, "batchSize"
     FROM ROWS FROM (jsonb_to_recordset($2::jsonb)
       AS (phase text, leaf jsonb, lower text[], upper text[], "batchSize" int)) WITH ORDINALITY AS given (phase, leaf, lower, upper, "batchSize", n)`,
)

/** Appends ranges to a run. The caller holds the run's row, so that no other session assigns the same ordinals. */
export async function appendRanges(
  control: Control,
  runId: string,
  ranges: ReadonlyArray<PhaseRange & { readonly batchSize?: number }>,
): Promise<void> {
  await appendRangesSql.run(control, [runId, JSON.stringify(ranges)])
}

const cutRangeSql = command(
  'cutRange',
  (s) => `UPDATE ${s}.ranges SET upper_key = $6 WHERE run_id = $1 AND ordinal = $2 AND epoch = $3 AND NOT done
       AND cursor IS NOT DISTINCT FROM $4 AND upper_key IS NOT DISTINCT FROM $5`,
)

/**
 * Splits the rest of a leased range at these keys, in ascending order. The lease keeps the part before the first key;
 * the rest becomes new ranges. False if the range has changed meanwhile: then nothing is written. The caller holds the
 * run's row.
 */
export async function splitRange(
  control: Control,
  lease: Pick<Lease, 'runId' | 'ordinal' | 'phase' | 'leaf' | 'epoch' | 'cursor' | 'upper'>,
  keys: readonly Cursor[],
  batchSize: number,
): Promise<boolean> {
  const { runId, ordinal, phase, leaf, epoch, cursor, upper } = lease
  const cut = await cutRangeSql.run(control, [runId, ordinal, epoch, cursor, upper, keys[0]])
  if (cut !== 1) return false
  await appendRanges(
    control,
    runId,
    keys.map((lower, index) => ({ leaf, phase, lower, upper: keys[index + 1] ?? upper, batchSize })),
  )
  return true
}

const listMissingLeavesSql = statement(
  'listMissingLeaves',
  { schema: z.string(), table: z.string(), oid: z.string() },
  (s) => `SELECT l.schema, l.name AS table, l.oid::text FROM ${s}.leaves($2, $3) AS l
     WHERE NOT EXISTS (SELECT FROM ${s}.ranges r WHERE r.run_id = $1 AND r.phase = 'residual'
       AND r.leaf->>'oid' = l.oid::text)`,
)

const listPhasesSql = statement(
  'listPhases',
  { phase: z.enum(phaseNames) },
  (s) => `SELECT phase FROM ${s}.ranges WHERE run_id = $1 GROUP BY phase ORDER BY min(ordinal)`,
)

/**
 * Adds ranges, one for each phase, for partitions that the run was not planned with. Returns the number of these
 * partitions. The caller holds the run's row.
 */
export async function insertMissingLeaves(control: Control, runId: string, { schema, table }: Target): Promise<number> {
  const leaves = await listMissingLeavesSql.rows(control, [runId, schema, table])
  const found = await listPhasesSql.rows(control, [runId])
  const ofLeaves = found.filter(({ phase }) => phases[phase].over !== 'stragglers')
  await appendRanges(
    control,
    runId,
    leaves.flatMap((leaf) => ofLeaves.map(({ phase }) => ({ leaf, lower: null, upper: null, phase }))),
  )
  return leaves.length
}

const reopenReturnedLeavesSql = statement(
  'reopenReturnedLeaves',
  { phase: z.enum(phaseNames) },
  (s) => `UPDATE ${s}.ranges r SET done = false, gone = false FROM ${s}.leaves($2, $3) AS l
     WHERE r.run_id = $1 AND r.gone AND r.leaf->>'oid' = l.oid::text RETURNING r.phase`,
)

/** Reopens ranges whose partition was gone and has come back. Returns their phases. The caller holds the run's row. */
export async function reopenReturnedLeaves(
  control: Control,
  runId: string,
  { schema, table }: Target,
): Promise<PhaseName[]> {
  const reopened = await reopenReturnedLeavesSql.rows(control, [runId, schema, table])
  return reopened.map(({ phase }) => phase)
}

const countOpenRangesSql = statement(
  'countOpenRanges',
  { count: z.number() },
  (s) => `SELECT count(*)::int AS count FROM ${s}.ranges WHERE run_id = $1 AND phase = $2 AND NOT done`,
)

/** The number of ranges of a phase that are not done yet, leased or waiting. */
export async function countOpenRanges(control: Control, { runId, phase }: Lease): Promise<number> {
  return (await countOpenRangesSql.one(control, [runId, phase])).count
}

const rangeColumns = {
  ordinal: z.number(),
  phase: z.enum(phaseNames),
  leaf: jsonb(leafSchema).nullable(),
  lower: cursorSchema.nullable(),
  upper: cursorSchema.nullable(),
  cursor: cursorSchema.nullable(),
  done: z.boolean(),
  epoch: z.string(),
  leaseOwner: z.string().nullable(),
  leaseUntil: z.date().nullable(),
  rowsScanned: z.number(),
  rowsDone: z.number(),
  rowsGone: z.number(),
  batches: z.number(),
  batchSize: z.number().nullable(),
  /** Consecutive slices that ended in an error. */
  attempts: z.number(),
  faults: jsonb(faultCountsSchema),
  checkpointedAt: z.date().nullable(),
}

/** A range as the API shows it. */
export type RangeRow = Readonly<z.output<z.ZodObject<typeof rangeColumns>>>

const listRangesSql = statement(
  'listRanges',
  rangeColumns,
  (
    s,
  ) => `SELECT ordinal, phase, leaf, lower_key AS lower, upper_key AS upper, cursor, done, epoch::text, lease_owner AS "leaseOwner",
       lease_until AS "leaseUntil", rows_scanned::float8 AS "rowsScanned", rows_done::float8 AS "rowsDone",
       rows_gone::float8 AS "rowsGone", batches::float8 AS batches, batch_size AS "batchSize", attempts, faults, checkpointed_at AS "checkpointedAt"
     FROM ${s}.ranges WHERE run_id = $1 ORDER BY ordinal`,
)

export function listRanges(control: Control, runId: string): Promise<RangeRow[]> {
  return listRangesSql.rows(control, [runId])
}

const listRangeStatesSql = statement(
  'listRangeStates',
  {
    runId: z.string(),
    ordinal: z.number(),
    phase: z.enum(phaseNames),
    done: z.boolean(),
    taken: z.boolean(),
    begun: z.boolean(),
    waiting: z.boolean(),
  },
  (s) => `SELECT run_id AS "runId", ordinal, phase, done, (ticket IS NOT NULL OR lease_owner IS NOT NULL) AS taken,
       cursor IS DISTINCT FROM lower_key AS begun,
       coalesce(${wakesAt('r')} > clock_timestamp(), false) AS waiting
     FROM ${s}.ranges r WHERE run_id = ANY($1) AND NOT (done AND phase <> 'pages' AND ticket IS NULL AND lease_owner IS NULL) ORDER BY run_id, ordinal`,
)

/**
 * The ranges that `nextStep` needs: open ones, leased ones, and all of the check by pages. An expired lease counts
 * until the rescuer has taken the range and recorded it.
 */
export async function listRangeStates(control: Control, runIds: readonly string[]): Promise<Map<string, RangeState[]>> {
  const states = new Map<string, RangeState[]>()
  for (const { runId, ...state } of await listRangeStatesSql.rows(control, [runIds])) {
    const known = states.get(runId)
    if (known) known.push(state)
    else states.set(runId, [state])
  }
  return states
}

const fenceRangesSql = command(
  'fenceRanges',
  (
    s,
  ) => `UPDATE ${s}.ranges SET epoch = epoch + 1, lease_owner = NULL, lease_until = NULL, ticket = NULL, wake_at = NULL,
       throttle = NULL, attempts = 0 WHERE run_id = ANY($1)`,
)

/**
 * Waits for every batch of these runs in flight, then raises all epochs: from then on no worker's batch can commit. The
 * caller holds the runs' rows, so that no other session does this in another order.
 */
export async function fenceRanges(control: Control, runIds: readonly string[]): Promise<void> {
  if (runIds.length > 0) await fenceRangesSql.run(control, [runIds])
}

const reopenResidualSql = command(
  'reopenResidual',
  (s) => `UPDATE ${s}.ranges SET done = false, gone = false, cursor = lower_key, rows_scanned = 0, recent_rows = 0
     WHERE run_id = $1 AND phase IN ('residual', 'pages')`,
)

/** Starts the checks again from the beginning. */
export async function reopenResidual(control: Control, runId: string): Promise<void> {
  await reopenResidualSql.run(control, [runId])
}

// A range that waits after an error keeps waiting: options do not affect it.
const wakeRangesSql = command(
  'wakeRanges',
  (s) => `UPDATE ${s}.ranges SET wake_at = NULL, ticket = NULL
     WHERE run_id = $1 AND lease_owner IS NULL AND attempts = 0 AND (ticket IS NOT NULL OR wake_at > clock_timestamp())`,
)

/**
 * Resets unleased ranges after a change of options: clears their delays and withdraws their tickets, because the new
 * `parallelism` may allow fewer.
 */
export async function wakeRanges(control: Control, runId: string): Promise<void> {
  await wakeRangesSql.run(control, [runId])
}
