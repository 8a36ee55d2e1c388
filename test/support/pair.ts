import pg from 'pg'
import { afterAll, beforeAll, expect } from 'vitest'
import { type EmbeddedPostgres, startStandby } from '../../src/embedded/index.ts'
import { createEmptyDatabase, type TestDatabase } from './database.ts'
import { createItems } from './items.ts'
import { startPostgres } from './postgres.ts'
import { type Client, startInProcess } from './service.ts'
import { until } from './until.ts'

/** How many rows the table of a scene has. */
export const rows = 40_000
/** Short, so that what needs a lag to build up need not take long. */
export const maxLagSeconds = 2

interface Pair {
  readonly primary: EmbeddedPostgres
  /** Its name is `one`. */
  readonly standby: EmbeddedPostgres
}

/** A primary with a standby, for all tests of a file. */
export function usePair(): Pair {
  let primary: EmbeddedPostgres
  let standby: EmbeddedPostgres
  beforeAll(async () => {
    primary = await startPostgres()
    standby = await startStandby(primary, { name: 'one' })
  })
  afterAll(async () => {
    await standby?.stop()
    await primary?.stop()
  })
  return {
    get primary() {
      return primary
    },
    get standby() {
      return standby
    },
  }
}

export interface Scene {
  readonly database: TestDatabase
  readonly client: Client
  /** A run that would take some ten seconds if nothing held it. */
  start(options?: Record<string, unknown>): Promise<string>
}

export async function createScene({ primary }: Pair, env: Readonly<Record<string, string>> = {}): Promise<Scene> {
  const database = await createEmptyDatabase(primary.url)
  const client = await startInProcess(database, await createItems(database, rows, { paced: true }), {
    REPLICAS: 'auto',
    ...env,
  })
  const start = (options: Record<string, unknown> = {}) =>
    client.start('count', { options: { maxLagSeconds, maxRowsPerSecond: 8000, batchSize: 200, ...options } })
  return { database, client, start }
}

export async function onStandby({ standby }: Pair, text: string): Promise<void> {
  const client = new pg.Client({ connectionString: standby.url })
  await client.connect()
  await client.query(text).finally(() => client.end())
}

/** How many rows are done. */
export const done = (database: TestDatabase) => database.value<number>('SELECT sum(touched)::int FROM items')

/** Waits until more rows than this are done. */
export function moving(database: TestDatabase, beyond = 0): Promise<number> {
  return until(
    `more than ${beyond} rows to be done`,
    () => done(database),
    (count) => count > beyond,
  )
}

/** Looks at a run until it is held, and gives what it saw of it and of the clock. */
export async function heldBy({ client }: Pick<Scene, 'client'>, id: string, signals: readonly string[], seconds = 30) {
  const run = await until(
    `run ${id} to be held by ${signals}`,
    () => client.run(id),
    ({ throttle }) =>
      throttle !== null &&
      signals.includes(throttle.signal) &&
      throttle.reason.match(/the limit is|is not known/) !== null,
    seconds,
  )
  return { run, at: performance.now() }
}

/** The run succeeds, and no replica whose name matches is ever the reason for its pace. */
export async function expectNeverBehind(client: Client, id: string, named = /./): Promise<void> {
  const seen = new Set<string>()
  await until(
    'it to succeed',
    async () => {
      const { status, throttle } = await client.run(id)
      if (throttle?.signal.startsWith('replica')) seen.add(throttle.reason)
      return status
    },
    (status) => status === 'succeeded',
  )
  expect([...seen].filter((reason) => named.test(reason))).toEqual([])
}
