import { z } from 'zod'
import type { FaultCounts } from '../core/fault.ts'
import { cursorSchema, leafSchema } from '../core/range/key.ts'
import { phaseNames } from '../core/range/phase.ts'
import { workableStatuses } from '../core/run/status.ts'
import { isSqlState } from '../core/sqlstate.ts'
import type { Throttle } from '../core/throttle/reasons.ts'
import { command, jsonb, statement } from '../postgres/statement.ts'
import { leaseHolds } from './clock.ts'
import { type Control, limitLockWait } from './control.ts'

const leaseColumns = {
  runId: z.string(),
  ordinal: z.number(),
  phase: z.enum(phaseNames),
  /** The partition of the range; null for an unpartitioned table. */
  leaf: jsonb(leafSchema).nullable(),
  epoch: z.string(),
  lower: cursorSchema.nullable(),
  upper: cursorSchema.nullable(),
  cursor: cursorSchema.nullable(),
  batchSize: z.number().nullable(),
  /** The batch size is small because larger windows failed. */
  turnedAway: z.boolean(),
  /** Consecutive slices that ended in an error. */
  attempts: z.number(),
}

/** A worker's right to a range, valid until the lease expires and only under this epoch. */
export type Lease = Readonly<z.output<z.ZodObject<typeof leaseColumns>>>

const leaseRangeSql = statement(
  'leaseRange',
  leaseColumns,
  (s) => `UPDATE ${s}.ranges r SET epoch = r.epoch + 1, lease_owner = $4, ticket = NULL,
       lease_until = clock_timestamp() + make_interval(secs => $5)
     FROM ${s}.runs n
     WHERE n.id = r.run_id AND r.run_id = $1 AND r.ordinal = $2 AND r.ticket = $3 AND NOT r.done
       AND coalesce(NOT ${leaseHolds('r.lease_until')}, true) AND n.status = ANY($6)
     RETURNING r.run_id AS "runId", r.ordinal, r.phase, r.leaf, r.epoch::text, r.lower_key AS lower, r.upper_key AS upper, r.cursor,
       r.batch_size AS "batchSize", r.turned_away AS "turnedAway", r.attempts`,
)

/**
 * Turns a ticket into a lease. Null if the ticket is old, another worker holds the range, or its run is not to be
 * worked on.
 */
export function leaseRange(
  control: Control,
  ticket: { id: string; runId: string; ordinal: number },
  owner: string,
  leaseSeconds: number,
): Promise<Lease | null> {
  return leaseRangeSql.first(control, [ticket.runId, ticket.ordinal, ticket.id, owner, leaseSeconds, workableStatuses])
}

const renewLeaseSql = command(
  'renewLease',
  (
    s,
  ) => `UPDATE ${s}.ranges SET lease_until = clock_timestamp() + make_interval(secs => $4), wake_at = clock_timestamp(), batch_size = $5, turned_away = $6
     WHERE run_id = $1 AND ordinal = $2 AND epoch = $3`,
)

/**
 * Renews a lease without a checkpoint, and stores the learned batch size. Counts as a sign of life. False if the lease
 * is lost.
 */
export async function renewLease(
  control: Control,
  lease: Lease,
  leaseSeconds: number,
  { batchSize, turnedAway }: Pick<Lease, 'batchSize' | 'turnedAway'>,
): Promise<boolean> {
  const { runId, ordinal, epoch } = lease
  return (await renewLeaseSql.run(control, [runId, ordinal, epoch, leaseSeconds, batchSize, turnedAway])) === 1
}

/** State of a range that is given back. */
export interface Release {
  /** Delay before the range may be woken; 0 for none. Seconds. */
  readonly wakeAfterSeconds: number
  /** Consecutive slices that ended in an error. */
  readonly attempts: number
  /** The worker's waits for the pace since the last checkpoint, as a part of the run's own time. Milliseconds. */
  readonly throttledMs: number
  /** Rows for the next window; null if nothing was learned about it. */
  readonly batchSize: number | null
  /** The batch size is small because larger windows failed. */
  readonly turnedAway: boolean
  /** The error that the range waits for, in words; null if it waits for something else or not at all. */
  readonly throttle: Throttle | null
}

const releaseRangeSql = command(
  'releaseRange',
  (
    s,
  ) => `WITH ours AS (SELECT run_id, ordinal FROM ${s}.ranges WHERE run_id = $1 AND ordinal = $2 AND epoch = $3 FOR NO KEY UPDATE SKIP LOCKED)
     UPDATE ${s}.ranges r SET lease_owner = NULL, lease_until = NULL, attempts = $4,
       throttle = $8::jsonb || CASE WHEN r.attempts > 0 AND r.throttle ? 'since' THEN jsonb_build_object('since', r.throttle->'since') ELSE '{}' END,
       wake_at = CASE WHEN $5::float8 > 0 THEN clock_timestamp() + make_interval(secs => $5::float8) END, wait_seconds = $5::float8,
       throttled_ms = throttled_ms + $6::float8, batch_size = coalesce($7, batch_size),
       turned_away = CASE WHEN $7 IS NULL THEN turned_away ELSE $9 END
     FROM ours WHERE r.run_id = ours.run_id AND r.ordinal = ours.ordinal`,
)

/**
 * Gives a range back, so that its next ticket need not wait for the lease to expire. False if the lease is lost, or if
 * a batch of ours still locks the row in the server after its connection was lost. Does not wait for that batch.
 */
export async function releaseRange(control: Control, lease: Lease, state: Release): Promise<boolean> {
  const released = await releaseRangeSql.run(control, [
    lease.runId,
    lease.ordinal,
    lease.epoch,
    state.attempts,
    state.wakeAfterSeconds,
    state.throttledMs,
    state.batchSize,
    state.throttle && JSON.stringify(state.throttle),
    state.turnedAway,
  ])
  return released === 1
}

const countFaultsSql = command(
  'countFaults',
  (s) => `UPDATE ${s}.ranges r SET faults = (SELECT jsonb_object_agg(fault, count) FROM (
       SELECT key AS fault, sum(value::bigint) AS count
       FROM (SELECT * FROM jsonb_each_text(faults) UNION ALL SELECT * FROM jsonb_each_text($3::jsonb)) AS each GROUP BY key) AS sums)
     WHERE r.run_id = $1 AND r.ordinal = $2`,
)

/** Longer than any statement of the control schema keeps a range's row, and short beside a lease. Seconds. */
const lockSeconds = 0.5

/**
 * Adds to the fault counts of a range, even if the fault has cost the lease. Skips the count if a batch that is still
 * running in the server locks the row.
 */
export async function countFaults(control: Control, { runId, ordinal }: Lease, faults: FaultCounts): Promise<void> {
  try {
    await control.transaction(async (tx) => {
      await limitLockWait(tx, lockSeconds)
      await countFaultsSql.run(tx, [runId, ordinal, JSON.stringify(faults)])
    })
  } catch (error) {
    if (!isSqlState(error, 'lock_not_available')) throw error
  }
}

const takeExpiredLeasesSql = statement(
  'takeExpiredLeases',
  { runId: z.string(), ordinal: z.number(), owner: z.string() },
  (s) => `WITH expired AS (
       SELECT run_id, ordinal, lease_owner FROM ${s}.ranges
       WHERE run_id IN (SELECT id FROM ${s}.runs WHERE status = ANY($1)) AND NOT ${leaseHolds('lease_until')}
       FOR UPDATE SKIP LOCKED
     )
     UPDATE ${s}.ranges r SET epoch = r.epoch + 1, lease_owner = NULL, lease_until = NULL, throttle = NULL
     FROM expired e WHERE r.run_id = e.run_id AND r.ordinal = e.ordinal
     RETURNING r.run_id AS "runId", r.ordinal, e.lease_owner AS owner`,
)

/** An expired lease: its worker died or cannot reach the database. */
export interface LostLease {
  readonly runId: string
  readonly ordinal: number
  readonly owner: string
}

/** Takes ranges away from silent workers. A locked row has a batch in flight, so its worker is alive. */
export function takeExpiredLeases(control: Control): Promise<LostLease[]> {
  return takeExpiredLeasesSql.rows(control, [workableStatuses])
}

const takeAllLeasesSql = command(
  'takeAllLeases',
  (s) =>
    `UPDATE ${s}.ranges SET epoch = epoch + 1, lease_owner = NULL, lease_until = NULL, throttle = NULL WHERE lease_owner IS NOT NULL`,
)

/**
 * Takes every range away from its worker once the batch in flight has ended. No later batch under these leases commits.
 */
export async function takeAllLeases(control: Control): Promise<void> {
  await takeAllLeasesSql.run(control)
}

const closeRangeSql = command(
  'closeRange',
  (s) => `UPDATE ${s}.ranges SET done = true, gone = true WHERE run_id = $1 AND ordinal = $2 AND epoch = $3`,
)

/** Closes a range whose partition is gone. False if the lease is lost. */
export async function closeRange(control: Control, { runId, ordinal, epoch }: Lease): Promise<boolean> {
  return (await closeRangeSql.run(control, [runId, ordinal, epoch])) === 1
}

const countLeasesByRunSql = statement(
  'countLeasesByRun',
  { runId: z.string(), count: z.number() },
  (s) => `SELECT run_id AS "runId", count(*)::int AS count FROM ${s}.ranges
     WHERE run_id IN (SELECT id FROM ${s}.runs WHERE status = ANY($1)) AND ${leaseHolds('lease_until')} GROUP BY run_id`,
)

/** The number of ranges leased now, by run. */
export async function countLeasesByRun(control: Control): Promise<Map<string, number>> {
  const rows = await countLeasesByRunSql.rows(control, [workableStatuses])
  return new Map(rows.map(({ runId, count }) => [runId, count]))
}

const countLeasesBeforeSql = statement(
  'countLeasesBefore',
  { count: z.number() },
  (s) =>
    `SELECT count(*)::int AS count FROM ${s}.ranges WHERE run_id = $1 AND ordinal < $2 AND ${leaseHolds('lease_until')}`,
)

/** The number of leased ranges before this one. */
export async function countLeasesBefore(control: Control, { runId, ordinal }: Lease): Promise<number> {
  return (await countLeasesBeforeSql.one(control, [runId, ordinal])).count
}
