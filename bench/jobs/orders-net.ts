import { defineJob, sql } from 'evenkeel'

/** What support/target.ts says for the other peers. */
export default defineJob({
  name: 'orders-net',
  table: 'public.orders',
  where: sql`net_cents IS NULL`,
  set: { net_cents: sql`amount_cents * 100 / 119` },
})
