import type { Cursor, Leaf } from '../core/key.ts'
import type { KeyRange, RangeKind } from '../core/ranges.ts'
import { workableStatuses } from '../core/run.ts'
import type { Control } from './control.ts'

/** A worker's right to a range: good until the lease runs out, and only under this epoch. */
export interface Lease {
  readonly runId: string
  readonly ordinal: number
  readonly kind: RangeKind
  /** The partition it is a slice of; null where the table has none. */
  readonly leaf: Leaf | null
  readonly epoch: string
  readonly lower: Cursor | null
  readonly upper: Cursor | null
  readonly cursor: Cursor | null
  readonly batchSize: number | null
  /** Slices in a row that ended in trouble. */
  readonly attempts: number
}

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
  readonly checkpointedAt: Date | null
}

/** A range that is out for work, and the ticket that shall wake it. */
export interface Ticket {
  readonly id: string
  readonly runId: string
  readonly ordinal: number
  readonly delaySeconds: number
}

/** Writes a run's ranges: its slices of the key space, one for stragglers and those of the residual check. */
export async function insertRanges(
  control: Control,
  runId: string,
  ranges: readonly KeyRange[],
  residual: readonly KeyRange[],
): Promise<void> {
  const stragglers = { leaf: null, lower: null, upper: null, kind: 'stragglers' as RangeKind }
  await appendRanges(control, runId, [
    ...ranges.map((range) => ({ ...range, kind: 'keys' as RangeKind })),
    stragglers,
    ...residual.map((range) => ({ ...range, kind: 'residual' as RangeKind })),
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

/** Lets the residual check see partitions that the run was not planned with. The caller holds the run's row. */
export async function insertMissingLeaves(control: Control, runId: string, { schema, table }: Leaf): Promise<void> {
  const { rows } = await control.db.query<Leaf>(
    `SELECT l.schema, l.name AS table FROM ${control.s}.leaves($2, $3) AS l
     WHERE NOT EXISTS (SELECT FROM ${control.s}.ranges r WHERE r.run_id = $1 AND r.kind = 'residual'
       AND r.leaf = jsonb_build_object('schema', l.schema, 'table', l.name))`,
    [runId, schema, table],
  )
  await appendRanges(
    control,
    runId,
    rows.map((leaf) => ({ leaf, lower: null, upper: null, kind: 'residual' })),
  )
}

/** Ends a range whose partition is not there any more. False when the lease is no longer ours. */
export async function closeRange({ db, s }: Control, lease: Lease): Promise<boolean> {
  const { rowCount } = await db.query(
    `UPDATE ${s}.ranges SET done = true WHERE run_id = $1 AND ordinal = $2 AND epoch = $3`,
    [lease.runId, lease.ordinal, lease.epoch],
  )
  return rowCount === 1
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
       rows_gone::float8 AS "rowsGone", batches::float8 AS batches, batch_size AS "batchSize", checkpointed_at AS "checkpointedAt"
     FROM ${s}.ranges WHERE run_id = $1 ORDER BY ordinal`,
    [runId],
  )
  return rows
}

/** Ranges as `nextStep` decides on them. A lease that has run out counts until the rescuer has taken it, and said so. */
export async function listRangeStates({ db, s }: Control, runId: string) {
  const { rows } = await db.query<{ ordinal: number; kind: RangeKind; done: boolean; taken: boolean }>(
    `SELECT ordinal, kind, done, (ticket IS NOT NULL OR lease_owner IS NOT NULL) AS taken
     FROM ${s}.ranges WHERE run_id = $1 ORDER BY ordinal`,
    [runId],
  )
  return rows
}

/** Marks ranges as having a ticket out, and says after how many seconds each may be woken. */
export async function assignTickets(
  { db, s }: Control,
  runId: string,
  tickets: ReadonlyArray<{ ordinal: number; id: string }>,
): Promise<Ticket[]> {
  if (tickets.length === 0) return []
  const { rows } = await db.query<Ticket>(
    `UPDATE ${s}.ranges r SET ticket = t.id, ticketed_at = clock_timestamp()
     FROM unnest($2::int[], $3::text[]) AS t (ordinal, id)
     WHERE r.run_id = $1 AND r.ordinal = t.ordinal
     RETURNING r.run_id AS "runId", r.ordinal, r.ticket AS id,
       greatest(0, coalesce(extract(epoch FROM r.wake_at - clock_timestamp()), 0))::float8 AS "delaySeconds"`,
    [runId, tickets.map((ticket) => ticket.ordinal), tickets.map((ticket) => ticket.id)],
  )
  return rows
}

/** Tickets that should have been taken up by now; the queue is asked whether it still knows them. */
export async function listOverdueTickets({ db, s }: Control, graceSeconds: number): Promise<Ticket[]> {
  const { rows } = await db.query<Ticket>(
    `SELECT r.run_id AS "runId", r.ordinal, r.ticket AS id, 0::float8 AS "delaySeconds"
     FROM ${s}.ranges r JOIN ${s}.runs n ON n.id = r.run_id
     WHERE n.status = ANY($1) AND r.ticket IS NOT NULL
       AND greatest(r.ticketed_at, r.wake_at) < clock_timestamp() - make_interval(secs => $2)`,
    [workableStatuses, graceSeconds],
  )
  return rows
}

/** Takes back a ticket that the queue has lost. False when it was taken up after all. */
export async function withdrawTicket({ db, s }: Control, ticket: Ticket): Promise<boolean> {
  const { rowCount } = await db.query(
    `UPDATE ${s}.ranges SET ticket = NULL WHERE run_id = $1 AND ordinal = $2 AND ticket = $3`,
    [ticket.runId, ticket.ordinal, ticket.id],
  )
  return rowCount === 1
}

/**
 * Turns a ticket into a lease. Null when the ticket is an old one, the range is held by another, or its run is not to be
 * worked on: then there is nothing to do.
 */
export async function leaseRange(
  { db, s }: Control,
  ticket: { id: string; runId: string; ordinal: number },
  owner: string,
  leaseSeconds: number,
): Promise<Lease | null> {
  const { rows } = await db.query<Lease>(
    `UPDATE ${s}.ranges r SET epoch = r.epoch + 1, lease_owner = $4, ticket = NULL, wake_at = NULL,
       lease_until = clock_timestamp() + make_interval(secs => $5)
     FROM ${s}.runs n
     WHERE n.id = r.run_id AND r.run_id = $1 AND r.ordinal = $2 AND r.ticket = $3 AND NOT r.done
       AND coalesce(r.lease_until < clock_timestamp(), true) AND n.status = ANY($6)
     RETURNING r.run_id AS "runId", r.ordinal, r.kind, r.leaf, r.epoch::text, r.lower_key AS lower, r.upper_key AS upper, r.cursor,
       r.batch_size AS "batchSize", r.attempts`,
    [ticket.runId, ticket.ordinal, ticket.id, owner, leaseSeconds, workableStatuses],
  )
  return rows[0] ?? null
}

/** Keeps a lease through a wait in which no checkpoint renews it. False when it is no longer ours. */
export async function renewLease({ db, s }: Control, lease: Lease, leaseSeconds: number): Promise<boolean> {
  const { rowCount } = await db.query(
    `UPDATE ${s}.ranges SET lease_until = clock_timestamp() + make_interval(secs => $4)
     WHERE run_id = $1 AND ordinal = $2 AND epoch = $3`,
    [lease.runId, lease.ordinal, lease.epoch, leaseSeconds],
  )
  return rowCount === 1
}

/** How a range is given back. */
export interface Release {
  /** Not before so many seconds; 0 for at once. */
  readonly wakeAfterSeconds: number
  /** Slices in a row that ended in trouble. */
  readonly attempts: number
  /** Since the last batch began, which no checkpoint has counted; and the part of it that pace held the worker back. */
  readonly workedMs: number
  readonly throttledMs: number
  /** Rows for the next window: smaller than the last one that committed, where a larger one was turned away. */
  readonly batchSize: number | null
}

/** Gives a range back, so that the next ticket for it need not wait for the lease to run out. */
export async function releaseRange({ db, s }: Control, lease: Lease, state: Release): Promise<void> {
  await db.query(
    `UPDATE ${s}.ranges SET lease_owner = NULL, lease_until = NULL, throttle = NULL, attempts = $4,
       wake_at = CASE WHEN $5::float8 > 0 THEN clock_timestamp() + make_interval(secs => $5::float8) END,
       worked_ms = worked_ms + $6::float8, recent_ms = recent_ms + $6::float8,
       recent_throttled_ms = recent_throttled_ms + $7::float8, throttled_ms = throttled_ms + $7::float8, batch_size = coalesce($8, batch_size)
     WHERE run_id = $1 AND ordinal = $2 AND epoch = $3`,
    [
      lease.runId,
      lease.ordinal,
      lease.epoch,
      state.attempts,
      state.wakeAfterSeconds,
      state.workedMs,
      state.throttledMs,
      state.batchSize,
    ],
  )
}

/** A lease that ran out: its worker died, or cannot reach us. */
export interface LostLease {
  readonly runId: string
  readonly ordinal: number
  readonly owner: string
}

/** Takes ranges away from workers that have gone quiet. A row that is locked has a batch in flight: its worker lives. */
export async function takeExpiredLeases({ db, s }: Control): Promise<LostLease[]> {
  const { rows } = await db.query<LostLease>(
    `WITH expired AS (
       SELECT run_id, ordinal, lease_owner FROM ${s}.ranges
       WHERE run_id IN (SELECT id FROM ${s}.runs WHERE status = ANY($1)) AND lease_until < clock_timestamp()
       FOR UPDATE SKIP LOCKED
     )
     UPDATE ${s}.ranges r SET epoch = r.epoch + 1, lease_owner = NULL, lease_until = NULL, throttle = NULL
     FROM expired e WHERE r.run_id = e.run_id AND r.ordinal = e.ordinal
     RETURNING r.run_id AS "runId", r.ordinal, e.lease_owner AS owner`,
    [workableStatuses],
  )
  return rows
}

/**
 * Waits for every batch of a run that is in flight, then raises all epochs: from here on no worker's batch can commit.
 * The caller holds the run's row, so that no second one does this in another order.
 */
export async function fenceRanges({ db, s }: Control, runId: string): Promise<void> {
  await db.query(
    `UPDATE ${s}.ranges SET epoch = epoch + 1, lease_owner = NULL, lease_until = NULL, ticket = NULL, wake_at = NULL,
       throttle = NULL, attempts = 0 WHERE run_id = $1`,
    [runId],
  )
}

/** Sends the residual check over the table once more. */
export async function reopenResidual({ db, s }: Control, runId: string): Promise<void> {
  await db.query(
    `UPDATE ${s}.ranges SET done = false, cursor = lower_key, rows_scanned = 0 WHERE run_id = $1 AND kind = 'residual'`,
    [runId],
  )
}

/** The sums that progress is made of. */
export interface RangeTotals {
  readonly rowsScanned: number
  readonly rowsDone: number
  readonly rowsGone: number
  readonly rowsPerSecond: number
  readonly overallRowsPerSecond: number
  readonly workedSeconds: number
  /** Of all workers together. */
  readonly throttledSeconds: number
  readonly residualScanned: number
  readonly stragglers: number
  readonly lastCheckpointAt: Date | null
  readonly throttle: Throttle | null
}

/** What holds a run back, as people are told. */
export interface Throttle {
  readonly reason: string
  readonly signal: string
  readonly value: number | null
  readonly limit: number | null
  readonly since: string
}

/** The sums of several runs, by run. */
export async function sumRanges({ db, s }: Control, runIds: readonly string[]): Promise<Map<string, RangeTotals>> {
  const { rows } = await db.query<RangeTotals & { runId: string }>(
    `SELECT run_id AS "runId",
       coalesce(sum(rows_scanned) FILTER (WHERE kind = 'keys'), 0)::float8 AS "rowsScanned",
       coalesce(sum(rows_done) FILTER (WHERE kind <> 'residual'), 0)::float8 AS "rowsDone",
       sum(rows_gone)::float8 AS "rowsGone",
       -- What no worker holds does not move; what has not moved for a second and more fades.
       coalesce(sum(recent_rows * 1000 / nullif(greatest(0, recent_ms - recent_throttled_ms) + still_ms, 0))
         FILTER (WHERE kind <> 'residual' AND lease_until > clock_timestamp()), 0)::float8 AS "rowsPerSecond",
       coalesce(sum(recent_rows * 1000 / nullif(recent_ms + still_ms, 0))
         FILTER (WHERE kind <> 'residual' AND lease_until > clock_timestamp()), 0)::float8 AS "overallRowsPerSecond",
       max(worked_ms)::float8 / 1000 AS "workedSeconds",
       sum(throttled_ms)::float8 / 1000 AS "throttledSeconds",
       coalesce(sum(rows_scanned) FILTER (WHERE kind = 'residual'), 0)::float8 AS "residualScanned",
       max(checkpointed_at) AS "lastCheckpointAt",
       (array_agg(throttle ORDER BY throttle->>'since') FILTER (WHERE throttle IS NOT NULL))[1] AS throttle,
       (SELECT count(*)::int FROM ${s}.stragglers x WHERE x.run_id = r.run_id) AS stragglers
     FROM ${s}.ranges r,
       LATERAL (SELECT greatest(0, extract(epoch FROM clock_timestamp() - checkpointed_at) * 1000 - 1000) AS still_ms) AS since
     WHERE run_id = ANY($1) GROUP BY run_id`,
    [runIds],
  )
  return new Map(rows.map(({ runId, ...totals }) => [runId, totals]))
}

/** How many workers hold ranges of a run at this moment. */
export async function countLeases({ db, s }: Control, runId: string): Promise<number> {
  const { rows } = await db.query<{ count: number }>(
    `SELECT count(*)::int AS count FROM ${s}.ranges WHERE run_id = $1 AND lease_until > clock_timestamp()`,
    [runId],
  )
  return rows[0]?.count ?? 0
}

/** Takes back what was decided under options that have changed: waits of ranges that nobody holds, and their tickets. */
export async function wakeRanges({ db, s }: Control, runId: string): Promise<void> {
  // What waits after an error does not wait for an option.
  await db.query(
    `UPDATE ${s}.ranges SET wake_at = NULL, ticket = NULL
     WHERE run_id = $1 AND lease_owner IS NULL AND attempts = 0 AND wake_at > clock_timestamp()`,
    [runId],
  )
}

/** How many ranges before this one are held. */
export async function countLeasesBefore({ db, s }: Control, { runId, ordinal }: Lease): Promise<number> {
  const { rows } = await db.query<{ count: number }>(
    `SELECT count(*)::int AS count FROM ${s}.ranges WHERE run_id = $1 AND ordinal < $2 AND lease_until > clock_timestamp()`,
    [runId, ordinal],
  )
  return rows[0]?.count ?? 0
}

/** The last checkpoint of each job that has a live run. */
export async function listLiveCheckpoints({ db, s }: Control): Promise<Array<{ job: string; timestamp: number }>> {
  const { rows } = await db.query<{ job: string; timestamp: number }>(
    `SELECT n.job, extract(epoch FROM max(r.checkpointed_at))::float8 AS timestamp
     FROM ${s}.runs n JOIN ${s}.ranges r ON r.run_id = n.id
     WHERE n.status = ANY($1) GROUP BY n.job HAVING max(r.checkpointed_at) IS NOT NULL`,
    [workableStatuses],
  )
  return rows
}
