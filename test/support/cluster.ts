import type { TestProject } from 'vitest/node'
import { findRedis, startRedis } from '../../src/embedded/index.ts'
import { createPool } from '../../src/postgres/pool.ts'
import { prepareQueue } from '../../src/queue/schema.ts'
import { createControl } from '../../src/store/control.ts'
import { migrate } from '../../src/store/schema/migrate.ts'
import { startPostgres, wrapperOf } from './postgres.ts'

declare module 'vitest' {
  interface ProvidedContext {
    postgresUrl: string
    /** What databases that are not empty are copies of. */
    preparedDatabase: string
    redisUrl: string | null
  }
}

const preparedDatabase = 'prepared'

/** One Postgres, and one Redis where the project's queue is on it, for all files of a project. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const wantsRedis = project.config.env?.TEST_QUEUE === 'redis' && (await findRedis()) !== null
  const [postgres, redis] = await Promise.all([
    startPostgres({
      wrapper: wrapperOf(project.config.env?.TEST_POSTGRES ?? process.env.TEST_POSTGRES),
      settings: { max_connections: '300', track_commit_timestamp: 'on' },
    }),
    wantsRedis ? startRedis() : null,
  ])
  await prepareDatabase(postgres.url, project.config.env?.TEST_QUEUE === 'postgres')
  project.provide('postgresUrl', postgres.url)
  project.provide('preparedDatabase', preparedDatabase)
  project.provide('redisUrl', redis?.url ?? null)
  return async () => {
    await Promise.all([postgres.stop(), redis?.stop()])
  }
}

/** The schemas of a service that has started here, for createDatabase to copy. */
async function prepareDatabase(cluster: string, hasQueue: boolean): Promise<void> {
  const admin = createPool(cluster, { name: 'tests', max: 1, settings: {} })
  await admin.query(`CREATE DATABASE ${preparedDatabase}`)
  const url = new URL(cluster)
  url.pathname = `/${preparedDatabase}`
  const pool = createPool(url.href, { name: 'tests', max: 1, settings: {} })
  await migrate(createControl(pool, 'evenkeel'))
  if (hasQueue) await prepareQueue({ kind: 'postgres', url: url.href, schema: 'evenkeel_queue' })
  await pool.end()
  // Nobody may be in what is copied.
  await admin.query(`ALTER DATABASE ${preparedDatabase} ALLOW_CONNECTIONS false`)
  await admin.end()
}
