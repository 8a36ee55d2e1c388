/** The public face of evenkeel: what a file in `jobs/` may import. */
export type { ParamsOf } from './core/job/job.ts'
export type { PartialRunOptions } from './core/job/options.ts'
export type { UpdateDefinition as JobDefinition } from './core/job/update.ts'
export { defineJob } from './core/job/update.ts'
export type { Sql, SqlValue } from './core/sql/template.ts'
export { sql } from './core/sql/template.ts'
