/** The public face of evenkeel: what a file in `jobs/` may import. */
export type { JobDefinition, ParamsOf } from './core/job/job.ts'
export { defineJob } from './core/job/job.ts'
export type { PartialRunOptions } from './core/job/options.ts'
export type { Sql, SqlValue } from './core/sql/template.ts'
export { sql } from './core/sql/template.ts'
