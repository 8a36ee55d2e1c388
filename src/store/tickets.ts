import { z } from 'zod'
import { workableStatuses } from '../core/run/status.ts'
import { command, statement } from '../postgres/statement.ts'
import { isAhead, wakesAt } from './clock.ts'
import type { Control } from './control.ts'

/** A ticket and the range that it wakes. */
export interface Ticket {
  readonly id: string
  readonly runId: string
  readonly ordinal: number
  readonly delaySeconds: number
  /** The range records that the queue has refused its ticket. */
  readonly refused?: boolean
}

/** The throttle signal of a range whose ticket the queue refuses. */
export const queueSignal = 'queue'

const assignTicketsSql = statement(
  'assignTickets',
  { runId: z.string(), ordinal: z.number(), id: z.string(), delaySeconds: z.number(), refused: z.boolean() },
  (s) => `UPDATE ${s}.ranges r SET ticket = t.id, ticketed_at = clock_timestamp(),
       wake_at = CASE WHEN t.after > 0 THEN greatest(${wakesAt('r')}, clock_timestamp() + make_interval(secs => t.after)) ELSE ${wakesAt('r')} END,
       wait_seconds = greatest(r.wait_seconds, t.after)
     FROM unnest($1::text[], $2::int[], $3::text[], $4::float8[]) AS t (run_id, ordinal, id, after)
     WHERE r.run_id = t.run_id AND r.ordinal = t.ordinal
     RETURNING r.run_id AS "runId", r.ordinal, r.ticket AS id,
       greatest(0, coalesce(extract(epoch FROM r.wake_at - clock_timestamp()), 0))::float8 AS "delaySeconds",
       coalesce(r.throttle->>'signal' = '${queueSignal}', false) AS refused`,
)

/**
 * Assigns tickets to ranges, none to be woken before its `afterSeconds`. Returns each ticket with its delay in seconds.
 */
export async function assignTickets(
  control: Control,
  tickets: ReadonlyArray<{ runId: string; ordinal: number; id: string; afterSeconds: number }>,
): Promise<Ticket[]> {
  if (tickets.length === 0) return []
  return assignTicketsSql.rows(control, [
    tickets.map((ticket) => ticket.runId),
    tickets.map((ticket) => ticket.ordinal),
    tickets.map((ticket) => ticket.id),
    tickets.map((ticket) => ticket.afterSeconds),
  ])
}

const listOverdueTicketsSql = statement(
  'listOverdueTickets',
  { runId: z.string(), ordinal: z.number(), id: z.string(), delaySeconds: z.number() },
  (s) => `SELECT r.run_id AS "runId", r.ordinal, r.ticket AS id, 0::float8 AS "delaySeconds"
     FROM ${s}.ranges r JOIN ${s}.runs n ON n.id = r.run_id
     WHERE n.status = ANY($1) AND r.ticket IS NOT NULL
       AND (greatest(r.ticketed_at, ${wakesAt('r')}) < clock_timestamp() - make_interval(secs => $2) OR ${isAhead('r.ticketed_at')})`,
)

/** Tickets that a worker should have taken by now. The rescuer asks the queue whether it still has them. */
export function listOverdueTickets(control: Control, graceSeconds: number): Promise<Ticket[]> {
  return listOverdueTicketsSql.rows(control, [workableStatuses, graceSeconds])
}

const withholdTicketsSql = command(
  'withholdTickets',
  (s) => `UPDATE ${s}.ranges SET ticket = NULL, throttle = $3 WHERE run_id = ANY($1) AND ticket = ANY($2)`,
)

/** Withdraws tickets that the queue has refused, and records that on their ranges. The rescuer writes new ones. */
export async function withholdTickets(
  control: Control,
  tickets: readonly Ticket[],
  reason: string,
  since: Date,
): Promise<void> {
  const throttle = { reason, signal: queueSignal, value: null, limit: null, since: since.toISOString() }
  await withholdTicketsSql.run(control, [...idsOf(tickets), JSON.stringify(throttle)])
}

const forgetRefusalSql = command(
  'forgetRefusal',
  (s) => `UPDATE ${s}.ranges SET throttle = NULL
     WHERE run_id = ANY($1) AND ticket = ANY($2) AND throttle->>'signal' = '${queueSignal}'`,
)

/** Clears that record: the queue has accepted these tickets. */
export async function forgetRefusal(control: Control, tickets: readonly Ticket[]): Promise<void> {
  await forgetRefusalSql.run(control, idsOf(tickets))
}

function idsOf(tickets: readonly Ticket[]): [string[], string[]] {
  return [[...new Set(tickets.map(({ runId }) => runId))], tickets.map(({ id }) => id)]
}

const withdrawTicketSql = command(
  'withdrawTicket',
  (s) => `UPDATE ${s}.ranges SET ticket = NULL WHERE run_id = $1 AND ordinal = $2 AND ticket = $3`,
)

/** Withdraws a ticket that the queue has lost. False if a worker has taken it after all. */
export async function withdrawTicket(control: Control, ticket: Ticket): Promise<boolean> {
  return (await withdrawTicketSql.run(control, [ticket.runId, ticket.ordinal, ticket.id])) === 1
}
