import { defineJob, sql } from 'evenkeel'

export default defineJob({
  name: 'readings-double',
  table: 'public.readings',
  where: sql`doubled IS NULL`,
  set: { doubled: sql`value * 2` },
})
