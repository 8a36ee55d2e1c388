import { z } from 'zod'
import type { Reading } from '../core/throttle/signal.ts'
import type { Ask } from '../postgres/ask.ts'
import { type RowOf, statement } from '../postgres/statement.ts'
import { inRecovery, unknown } from './messages.ts'

/**
 * A slot keeps WAL from restart_lsn on, which for a logical one lies behind what its consumer has confirmed: as far behind as
 * the oldest transaction that was open then. Temporary slots go with their sessions, as soon as a base backup is over.
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

/** Bytes of WAL that the furthest behind of the slots keeps for its consumer, whether that is there or not. */
export async function slots(ask: Ask): Promise<Reading[]> {
  const all = await ask(readSlotsSql)
  const [first] = all
  if (!first) return []
  if (first.in_recovery) return [unknown('slots', inRecovery)]
  const broken = all.find(({ status }) => status === 'unreserved' || status === 'lost')
  if (broken) return [unknown('slots', describe(broken))]
  const worst = all.reduce((worst, slot) => ((slot.bytes ?? 0) > (worst.bytes ?? 0) ? slot : worst))
  // A slot that has never been used reserves nothing.
  return [{ signal: 'slots', value: Math.max(0, worst.bytes ?? 0), detail: `slot ${worst.name}` }]
}

function describe({ name, status }: RowOf<typeof readSlotsSql>): string {
  const drop = `drop the slot: SELECT pg_drop_replication_slot('${name}')`
  return status === 'lost'
    ? `slot ${name} is lost: WAL that its consumer needs was removed. Set the consumer up anew, or ${drop}`
    : `slot ${name} is unreserved: the next checkpoint may remove WAL that its consumer needs. Let it catch up, or ${drop}`
}
