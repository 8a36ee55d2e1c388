import type { TestProject } from 'vitest/node'
import { findRedis, startRedis } from '../../src/embedded/index.ts'
import { startPostgres } from './postgres.ts'

declare module 'vitest' {
  interface ProvidedContext {
    postgresUrl: string
    redisUrl: string | null
  }
}

/** One Postgres, and one Redis where the project's queue is on it, for all files of a project. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const wantsRedis = project.config.env?.TEST_QUEUE === 'redis' && (await findRedis()) !== null
  const [postgres, redis] = await Promise.all([
    startPostgres({ settings: { max_connections: '300', track_commit_timestamp: 'on' } }),
    wantsRedis ? startRedis() : null,
  ])
  project.provide('postgresUrl', postgres.url)
  project.provide('redisUrl', redis?.url ?? null)
  return async () => {
    await Promise.all([postgres.stop(), redis?.stop()])
  }
}
