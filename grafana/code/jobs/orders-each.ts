import { defineJob, sql } from 'evenkeel'

/** Orders of no pieces at all cannot be divided by them: they go to quarantine. */
export default defineJob({
  name: 'orders-each',
  table: 'public.orders',
  where: sql`each IS NULL`,
  set: { each: sql`net / pieces` },
  options: { succeedWithQuarantined: true },
})
