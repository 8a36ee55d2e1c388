import { z } from 'zod'
import type { Reading } from '../core/throttle/signal.ts'
import type { Ask } from '../postgres/ask.ts'
import { type RowOf, statement } from '../postgres/statement.ts'
import { inRecovery, unknown } from './messages.ts'

/**
 * A slot keeps WAL from restart_lsn on. For a logical slot that is older than the position its consumer has confirmed,
 * by the oldest transaction that was open then. Temporary slots end with their sessions, when a base backup is over.
 */
const readSlotsSql = statement(
  'slots',
  {
    name: z.string(),
    status: z.string().nullable(),
    in_recovery: z.boolean(),
    bytes: z.number().nullable(),
  },
  `SELECT slot_name::text AS name, wal_status AS status, pg_catalog.pg_is_in_recovery() AS in_recovery,
      CASE WHEN NOT pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_wal_lsn_diff(
        pg_catalog.pg_current_wal_lsn(), least(restart_lsn, confirmed_flush_lsn))::float8 END AS bytes
    FROM pg_catalog.pg_replication_slots WHERE NOT temporary`,
)

/** Bytes of WAL kept by the slot furthest behind, whether its consumer is connected or not. */
export async function slots(ask: Ask): Promise<Reading[]> {
  const all = await ask(readSlotsSql)
  const [first] = all
  if (!first) return []
  if (first.in_recovery) return [unknown('slots', inRecovery)]
  const broken = all.find(({ status }) => status === 'unreserved' || status === 'lost')
  if (broken) return [unknown('slots', describe(broken))]
  const worst = all.reduce((worst, slot) => ((slot.bytes ?? 0) > (worst.bytes ?? 0) ? slot : worst))
  // A slot that has never been used keeps nothing.
  return [{ signal: 'slots', value: Math.max(0, worst.bytes ?? 0), detail: `slot ${worst.name}` }]
}

function describe({ name, status }: RowOf<typeof readSlotsSql>): string {
  const drop = `drop the slot: SELECT pg_drop_replication_slot('${name}')`
  return status === 'lost'
    ? `slot ${name} is lost: WAL that its consumer needs was removed. Set the consumer up again, or ${drop}`
    : `slot ${name} is unreserved: the next checkpoint may remove WAL that its consumer needs. Let it catch up, or ${drop}`
}
