import { defineJob, sql } from 'evenkeel'

/** Fails at the first price that is no number. */
export default defineJob({
  name: 'prices-cents',
  table: 'public.prices',
  where: sql`cents IS NULL`,
  set: { cents: sql`round(price::numeric * 100)::int` },
  options: { maxQuarantined: 0 },
})
