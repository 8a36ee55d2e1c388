import pg from 'pg'
import { describe, expect, onTestFinished, test } from 'vitest'
import { findPgBouncer, type PgBouncerSettings, startPgBouncer } from '../../src/embedded/index.ts'
import { engineSettings } from '../../src/engine/batch/session.ts'
import { createPool } from '../../src/postgres/pool.ts'
import { backendOf } from '../../src/postgres/pooler.ts'
import { createEmptyDatabase, type TestDatabase } from '../support/database.ts'
import { createItems, expectTouchedOnce } from '../support/items.ts'
import { jobsFolder, startInProcess } from '../support/service.ts'
import { until } from '../support/until.ts'

/** The same database through a pooler of the test's own. */
async function behind(database: TestDatabase, settings: PgBouncerSettings): Promise<TestDatabase> {
  const pooler = await startPgBouncer(database.url, settings)
  onTestFinished(() => pooler.stop())
  return { ...database, url: pooler.url }
}

async function connect(url: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url })
  client.on('error', () => undefined)
  await client.connect()
  onTestFinished(() => client.end())
  return client
}

/** Settings that differ from what a new session has, on any of the connections that the pooler gives out. */
async function settingsLeft(url: string): Promise<string[]> {
  const clients = await Promise.all(Array.from({ length: 8 }, () => connect(url)))
  // All at once and not in an instant: each on another connection, as far as there are as many.
  const found = await Promise.all(
    clients.map((client) =>
      client.query<{ name: string }>(
        `SELECT name FROM pg_settings, pg_sleep(0.2)
        WHERE source = 'session' AND name NOT IN ('application_name', 'client_encoding')`,
      ),
    ),
  )
  return [...new Set(found.flatMap(({ rows }) => rows.map(({ name }) => name)))]
}

async function refusal(database: TestDatabase): Promise<string> {
  const started = startInProcess(database, await jobsFolder({}))
  return started.then(
    () => 'it started',
    (error: Error) => error.message,
  )
}

test('a session has its settings whatever its role, its database and its connection string say', async () => {
  const database = await createEmptyDatabase()
  await database.query(`ALTER DATABASE ${database.name} SET row_security = on`)
  await database.query(`ALTER ROLE postgres IN DATABASE ${database.name} SET statement_timeout = 0`)
  const url = `${database.url}?options=-c%20lock_timeout%3D0%20-c%20work_mem%3D1MB&application_name=else`
  const pool = createPool(url, { name: 'evenkeel engine', max: 1, settings: engineSettings })
  onTestFinished(() => pool.end())
  const { rows } = await pool.query(
    `SELECT current_setting('row_security') AS row_security, current_setting('statement_timeout') AS statement_timeout,
      current_setting('lock_timeout') AS lock_timeout, current_setting('application_name') AS application_name,
      current_setting('work_mem') AS work_mem, current_setting('tcp_keepalives_idle') AS keepalive`,
  )
  expect(rows).toEqual([
    {
      row_security: 'off',
      statement_timeout: '10s',
      lock_timeout: '100ms',
      application_name: 'evenkeel engine',
      work_mem: '1MB',
      // The session of a client that has gone without a word keeps its row locks until these tell.
      keepalive: '10',
    },
  ])
})

describe.skipIf((await findPgBouncer()) === null)('behind a pooler', () => {
  test('in session mode a run goes through', async () => {
    const database = await createEmptyDatabase()
    const jobs = await createItems(database, 5000)
    const service = await startInProcess(await behind(database, { pool_mode: 'session' }), jobs)
    const id = await service.start('touch')
    const run = await service.reaches(id, ['succeeded'])
    expect(run.progress.rowsDone).toBe(5000)
    await expectTouchedOnce(database, 5000)
  })

  test('in session mode the settings are in force, and gone with the session', async () => {
    const { url } = await behind(await createEmptyDatabase(), { pool_mode: 'session' })
    const pool = createPool(url, { name: 'evenkeel engine', max: 1, settings: engineSettings })
    const client = await pool.connect()
    const { rows } = await client.query("SELECT name, setting FROM pg_settings WHERE source = 'session'")
    expect(rows).toEqual(
      expect.arrayContaining([
        { name: 'lock_timeout', setting: '100' },
        { name: 'enable_seqscan', setting: 'off' },
        { name: 'row_security', setting: 'off' },
        { name: 'application_name', setting: 'evenkeel engine' },
      ]),
    )
    const backend = await backendOf(client)
    // Who cancels a statement goes by this number.
    expect((client as unknown as { processID: number }).processID).toBe(backend)
    client.release()
    await pool.end()
    const next = await until('the application to be given the same connection', async () => {
      const each = await connect(url)
      return (await backendOf(each)) === backend ? each : null
    })
    expect((await next?.query('SHOW lock_timeout'))?.rows).toEqual([{ lock_timeout: '0' }])
  })

  test.each([
    ['that is idle', {}],
    ['with a single connection', { default_pool_size: 1 }],
    ['that gives out its connections in turn', { server_round_robin: 1, min_pool_size: 5 }],
  ])('in transaction mode, %s, it does not start, and leaves no setting behind', async (_, settings) => {
    const database = await behind(await createEmptyDatabase(), { pool_mode: 'transaction', ...settings })
    expect(await refusal(database)).toMatch(/pooler in transaction mode.*address of Postgres itself/)
    expect(await settingsLeft(database.url)).toEqual([])
  })

  test('in transaction mode, with the application at work on it, it does not start', async () => {
    const database = await behind(await createEmptyDatabase(), { pool_mode: 'transaction', default_pool_size: 8 })
    let working = true
    const application = Array.from({ length: 6 }, async () => {
      const client = await connect(database.url)
      while (working) await client.query('SELECT pg_sleep(random() * 0.01)')
    })
    const words = await refusal(database)
    working = false
    await Promise.all(application)
    expect(words).toMatch(/pooler in transaction mode/)
    expect(await settingsLeft(database.url)).toEqual([])
  })

  test('in statement mode it does not start', async () => {
    const database = await behind(await createEmptyDatabase(), { pool_mode: 'statement' })
    expect(await refusal(database)).toMatch(/pooler in statement mode/)
    expect(await settingsLeft(database.url)).toEqual([])
  })

  test('that leaves settings to the next session it does not start', async () => {
    const database = await behind(await createEmptyDatabase(), { pool_mode: 'session', server_reset_query: '' })
    expect(await refusal(database)).toMatch(/passes the settings of a session on.*server_reset_query = DISCARD ALL/)
  })

  test('whose pool is too small it does not start', async () => {
    const database = await behind(await createEmptyDatabase(), { pool_mode: 'session', default_pool_size: 2 })
    expect(await refusal(database)).toMatch(/gave no session within 5 s.*default_pool_size/)
  })

  test.each([
    ['refuses', {}],
    ['drops', { ignore_startup_parameters: 'options' }],
  ])('that %s the options in its URL it does not start', async (_, settings) => {
    const database = await behind(await createEmptyDatabase(), { pool_mode: 'session', ...settings })
    const url = `${database.url}?options=-c%20work_mem%3D1MB`
    expect(await refusal({ ...database, url })).toMatch(/does not pass on the `options` in a URL.*ALTER ROLE/)
  })
})
