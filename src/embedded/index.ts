export { type EmbeddedPgBouncer, findPgBouncer, type PgBouncerSettings, startPgBouncer } from './pgbouncer.ts'
export { type EmbeddedPostgres, type PostgresOptions, startPostgres } from './postgres.ts'
export { type EmbeddedRedis, findRedis, startRedis } from './redis.ts'
export { type StandbyOptions, startStandby } from './standby.ts'
