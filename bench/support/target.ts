/** The table that is backfilled, and with what: the same work for every peer. jobs/orders-net.ts says it as a job. */
export const target = {
  table: 'orders',
  key: 'id',
  column: 'net_cents',
  value: 'amount_cents * 100 / 119',
} as const
