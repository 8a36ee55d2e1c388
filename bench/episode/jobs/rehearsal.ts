import { defineJob, sql } from 'evenkeel'

/** The same on a table of its own: writes the WAL by which the standby is measured before. */
export default defineJob({
  name: 'rehearsal',
  table: 'public.rehearsal',
  where: sql`fahrenheit IS NULL`,
  set: { fahrenheit: sql`celsius * 1.8 + 32` },
})
