import { defineJob, sql } from 'evenkeel'

/** `@babel/core` becomes scope `babel` and bare name `core`; `lodash` has no scope. */
export default defineJob({
  name: 'packages-split',
  description: 'Scope and bare name of a package in columns of their own',
  table: 'public.packages',
  where: sql`bare_name IS NULL`,
  set: {
    scope: sql`substring(name FROM '^@([^/]+)/')`,
    bare_name: sql`regexp_replace(name, '^@[^/]+/', '')`,
  },
})
