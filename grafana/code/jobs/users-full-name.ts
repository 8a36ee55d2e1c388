import { defineJob, sql } from 'evenkeel'

export default defineJob({
  name: 'users-full-name',
  table: 'public.users',
  where: sql`full_name IS NULL`,
  set: { full_name: sql`first_name || ' ' || last_name` },
})
