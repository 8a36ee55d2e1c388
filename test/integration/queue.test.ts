import { Redis } from 'ioredis'
import { describe, expect, inject, test } from 'vitest'
import { consumeTickets } from '../../src/queue/consumer.ts'
import { openQueue } from '../../src/queue/queue.ts'
import { prepareQueue } from '../../src/queue/schema.ts'
import { createDatabase, type TestDatabase } from '../support/database.ts'
import { createItems, expectTouchedOnce, untilDone } from '../support/items.ts'
import { jobSource, jobsFolder, queueKind, spawnService, startInProcess } from '../support/service.ts'
import { until } from '../support/until.ts'

/** Throws away everything the queue holds: of this database's service on Postgres, of everybody's on Redis. */
async function wipeQueue(database: TestDatabase): Promise<void> {
  const redisUrl = inject('redisUrl')
  if (redisUrl) {
    const redis = new Redis(redisUrl)
    await redis.flushall()
    await redis.quit()
    return
  }
  const tables = await database.query<{ name: string }>(
    "SELECT format('%I.%I', schemaname, tablename) AS name FROM pg_tables WHERE schemaname = 'evenkeel_queue' AND tablename NOT LIKE '%migration%'",
  )
  expect(tables.length).toBeGreaterThan(0)
  await database.query(`TRUNCATE ${tables.map((table) => table.name).join(', ')} CASCADE`)
}

describe(`promise 6: Postgres is the truth (${queueKind} queue)`, () => {
  test('a queue thrown away again and again in the middle of a run: it finishes, every row once', async () => {
    const rows = 30_000
    const database = await createDatabase()
    const client = await startInProcess(database, await createItems(database, rows))
    const id = await client.start('count', { options: { maxRowsPerSecond: 8000 } })
    for (const share of [0.05, 0.2, 0.4, 0.6]) {
      await untilDone(database, rows * share)
      await wipeQueue(database)
    }
    await client.reaches(id, ['succeeded'])
    await expectTouchedOnce(database, rows)
  })

  test('tickets lost before any worker saw them are written again', async () => {
    const database = await createDatabase()
    const jobs = await createItems(database, 3000)
    const api = await startInProcess(database, jobs, { ROLE: 'api' })
    const id = await api.start('touch')
    await wipeQueue(database)
    await startInProcess(database, jobs, { ROLE: 'worker' })
    await api.reaches(id, ['succeeded'])
    await expectTouchedOnce(database, 3000)
  })
})

test('a ticket that the queue keeps back although it is due is replaced: its clock is another than the database’s', async () => {
  const database = await createDatabase()
  const jobs = await createItems(database, 1000)
  const api = await startInProcess(database, jobs, { ROLE: 'api' })
  const id = await api.start('count', { options: { parallelism: 1 } })
  // As one is that waits for half a second, where the clock of the process that takes it is an hour behind.
  const [range] = await database.query<{ ordinal: number }>(
    "UPDATE evenkeel.ranges SET ticket = 'late', ticketed_at = clock_timestamp() WHERE ticket IS NOT NULL RETURNING ordinal",
  )
  const redisUrl = inject('redisUrl')
  const location = redisUrl
    ? { kind: 'redis' as const, url: redisUrl }
    : { kind: 'postgres' as const, url: database.url, schema: 'evenkeel_queue' }
  const instance = await database.value<string>('SELECT id FROM evenkeel.instance')
  const queue = openQueue({ location, instance, onError: () => undefined })
  await queue.put([{ id: 'late', runId: id, ordinal: Number(range?.ordinal), delaySeconds: 3600 }])
  await queue.close()
  await startInProcess(database, jobs, { ROLE: 'worker' })
  await api.reaches(id, ['succeeded'])
  await expectTouchedOnce(database, 1000)
})

test.runIf(queueKind === 'postgres')(
  'a start does not wait for somebody who reads the queue’s tables, as a dump does',
  async () => {
    const database = await createDatabase()
    const jobs = await createItems(database, 10)
    await startInProcess(database, jobs)
    const dump = await database.session()
    await dump.query('BEGIN; LOCK TABLE evenkeel_queue.migration IN ACCESS SHARE MODE')
    const second = await startInProcess(database, jobs)
    await second.reaches(await second.start('touch'), ['succeeded'])
  },
)

test.runIf(queueKind === 'postgres')(
  'tables of the queue that have to be changed and that others hold are left, and it is said what to do',
  async () => {
    const database = await createDatabase()
    const location = { kind: 'postgres' as const, url: database.url, schema: 'q' }
    await prepareQueue(location)
    await database.query('DELETE FROM q.migration WHERE version = (SELECT max(version) FROM q.migration)')
    const holder = await database.session()
    await holder.query('BEGIN; LOCK TABLE q.migration IN ACCESS SHARE MODE')
    await expect(prepareQueue(location)).rejects.toThrow(/Cannot migrate schema q: .*pg_locks/)
  },
)

test('a run held to a row every few seconds leaves the slots to the others', async () => {
  const database = await createDatabase()
  const client = await startInProcess(database, await createItems(database, 40_000))
  await client.start('count', { options: { maxRowsPerSecond: 0.05, parallelism: 8 } })
  const id = await client.start('touch')
  await client.reaches(id, ['succeeded'], 20)
})

test('with Redis down a service starts, accepts a run, and ends when it is told to', async () => {
  const database = await createDatabase()
  const jobs = await createItems(database, 100)
  const { client, process } = await spawnService(database, jobs, { REDIS_URL: 'redis://127.0.0.1:1' })
  const id = await client.start('touch')
  expect((await client.call('GET', '/readyz')).body).toEqual({
    ready: true,
    database: 'ok',
    queue: 'cannot be reached',
  })
  expect((await client.call('POST', `/runs/${id}/pause`)).body.status).toBe('paused')
  process.kill('SIGTERM')
  await until(
    'it to end',
    () => process.exitCode,
    (code) => code === 0,
    20,
  )
})

describe(`the ticket queue (${queueKind})`, () => {
  async function open() {
    const database = await createDatabase()
    const redisUrl = inject('redisUrl')
    const location = redisUrl
      ? { kind: 'redis' as const, url: redisUrl }
      : { kind: 'postgres' as const, url: database.url, schema: 'q' }
    await prepareQueue(location)
    const errors: Error[] = []
    const queue = openQueue({ location, instance: database.name, onError: (error) => errors.push(error) })
    return { queue, errors, location, database }
  }
  const ticket = (id: string, delaySeconds = 0) => ({ id, runId: 'a-1', ordinal: 0, delaySeconds })

  test('a worker whose first connection fails leaves the process its breath, and works once it gets one', async () => {
    const { queue, location, database } = await open()
    if (location.kind === 'redis') return
    // Its own connections are there before the door is shut: one that failed would fail the first ticket as well.
    await queue.depth()
    const session = await database.session()
    const allow = (yes: boolean) =>
      session.query('UPDATE pg_database SET datallowconn = $1 WHERE datname = current_database()', [yes])
    await allow(false)
    const worked: string[] = []
    const errors: Error[] = []
    const options = { location, instance: database.name, onError: (error: Error) => errors.push(error) }
    const consumer = consumeTickets(options, 4, async (given) => void worked.push(given.id))
    await until(
      'it to fail',
      () => errors.length,
      (count) => count > 0,
    )
    await until(
      'it to be tried again',
      () => errors.length,
      (count) => count > 2,
    )
    // Without a pause there would be thousands within the time of one look.
    expect(errors.length).toBeLessThan(1000)
    await allow(true)
    await queue.put([ticket('a-1.0.aa')])
    await until(
      'the ticket to be worked on',
      () => worked,
      (ids) => ids.length === 1,
    )
    consumer.stop()
    await consumer.close()
    await queue.close()
  })

  test('knows the tickets that are out, and no others', async () => {
    const { queue } = await open()
    await queue.put([ticket('a-1.0.aa'), ticket('a-1.0.bb', 60)])
    expect(await queue.whereabouts('a-1.0.aa')).toBe('queued')
    expect(await queue.whereabouts('a-1.0.bb')).toBe('delayed')
    expect(await queue.whereabouts('a-1.0.cc')).toBeNull()
    expect(await queue.depth()).toEqual({ waiting: 1, delayed: 1, active: 0 })
    await queue.close()
  })
})

test('several runs share the workers: a short one started behind a long one ends long before it', async () => {
  const database = await createDatabase()
  await database.query('CREATE TABLE long (id int PRIMARY KEY, touched int NOT NULL DEFAULT 0)')
  await database.query('CREATE TABLE short (id int PRIMARY KEY, touched int NOT NULL DEFAULT 0)')
  await database.query('INSERT INTO long SELECT generate_series(1, 60000)')
  await database.query('INSERT INTO short SELECT generate_series(1, 500)')
  const jobs = await jobsFolder({
    'long.ts': jobSource({ name: 'long', table: 'long', rest: 'set: { touched: sql`touched + 1` }' }),
    'short.ts': jobSource({ name: 'short', table: 'short', rest: 'set: { touched: sql`touched + 1` }' }),
  })
  const client = await startInProcess(database, jobs)
  // More ranges at once than one process has slots: without giving way, the short run would wait for the long one's end.
  const long = await client.start('long', { options: { parallelism: 8, maxRowsPerSecond: 2000 } })
  await client.reaches(long, ['running'])
  const short = await client.start('short')
  await client.reaches(short, ['succeeded'], 30)
  const meanwhile = await client.run(long)
  expect(meanwhile.status).toBe('running')
  expect(meanwhile.progress.ratio).toBeLessThan(0.9)
  await client.call('PATCH', `/runs/${long}`, { maxRowsPerSecond: null })
  await client.reaches(long, ['succeeded'])
})
