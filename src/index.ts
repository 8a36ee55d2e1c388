/** The public face of evenkeel: what a file in `jobs/` may import. */
export type { JobDefinition, ParamsOf } from './core/job.ts'
export { defineJob } from './core/job.ts'
export type { PartialRunOptions } from './core/options.ts'
export type { Sql, SqlValue } from './core/sql.ts'
export { sql } from './core/sql.ts'
