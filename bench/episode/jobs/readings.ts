import { defineJob, sql } from 'evenkeel'

/** The run that is recorded. */
export default defineJob({
  name: 'readings',
  table: 'public.readings',
  where: sql`fahrenheit IS NULL`,
  set: { fahrenheit: sql`celsius * 1.8 + 32` },
})
