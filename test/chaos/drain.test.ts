import { describe, expect, test } from 'vitest'
import { createDatabase, type TestDatabase } from '../support/database.ts'
import { countDone, createItems, expectTouchedOnce, untilDone } from '../support/items.ts'
import { startProxy } from '../support/proxy.ts'
import {
  type Client,
  jobSource,
  jobsFolder,
  patient,
  type SpawnedService,
  spawnService,
  startInProcess,
} from '../support/service.ts'
import { timings } from '../support/timings.ts'
import { until } from '../support/until.ts'

const worker = { ROLE: 'worker' }

/** Leases as they stand. */
async function owners(database: TestDatabase): Promise<string[]> {
  const rows = await database.query<{ owner: string }>(
    'SELECT lease_owner AS owner FROM evenkeel.ranges WHERE lease_owner IS NOT NULL',
  )
  return rows.map(({ owner }) => owner)
}

const isOf =
  ({ process: { pid } }: SpawnedService) =>
  (owner: string) =>
    owner.endsWith(`-${pid}`)

async function untilOwns(database: TestDatabase, service: SpawnedService): Promise<void> {
  await until(
    `process ${service.process.pid} to hold a range`,
    () => owners(database),
    (held) => held.some(isOf(service)),
  )
}

/** Ranges that were rescued, by the process that had lost them. */
async function rescuedFrom(database: TestDatabase, service: SpawnedService): Promise<string[]> {
  const rows = await database.query<{ owner: string }>(
    "SELECT detail->>'lostBy' AS owner FROM evenkeel.events WHERE kind = 'rescued'",
  )
  return rows.map(({ owner }) => owner).filter(isOf(service))
}

async function finish(client: Client, database: TestDatabase, id: string, rows: number): Promise<void> {
  await client.call('PATCH', `/runs/${id}`, { maxRowsPerSecond: null, batchSize: 500 })
  await client.reaches(id, ['succeeded'])
  await expectTouchedOnce(database, rows)
}

/** Batches of ten rows, each of which takes so many seconds. */
function slowJob(seconds: number): Promise<string> {
  const rest = `set: { touched: sql\`touched + 1 + length(pg_sleep(${seconds / 10})::text)\` }`
  return jobsFolder({ 'slow.ts': jobSource({ name: 'slow', table: 'items', rest }) })
}

async function untilInBatch(database: TestDatabase): Promise<void> {
  await until('a batch to be in flight', () =>
    database.value<boolean>(
      `SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND state = 'active'
         AND wait_event = 'PgSleep')`,
    ),
  )
}

describe('SIGTERM', () => {
  test('in the middle of a run: the ranges go to another process at once, and nothing is done twice', async () => {
    const rows = 20_000
    const database = await createDatabase()
    const jobs = await createItems(database, rows)
    const client = await startInProcess(database, jobs, { ROLE: 'api' })
    const id = await client.start('count', { options: { maxRowsPerSecond: 1500, batchSize: 20, parallelism: 4 } })
    const leaving = await spawnService(database, jobs, { ...worker, ...patient })
    await untilOwns(database, leaving)
    const staying = await spawnService(database, jobs, worker)
    await untilOwns(database, staying)
    await untilOwns(database, leaving)
    leaving.process.kill('SIGTERM')
    expect(await leaving.ended).toBe(0)
    expect((await owners(database)).filter(isOf(leaving))).toEqual([])
    await until(
      'the other one to hold all',
      () => owners(database),
      (held) => held.length === 4 && held.every(isOf(staying)),
    )
    expect(await rescuedFrom(database, leaving)).toEqual([])
    await finish(client, database, id, rows)
  })

  test('ends each range within one batch, of slices that would go on for seconds', async () => {
    const database = await createDatabase()
    await createItems(database, 20_000)
    const service = await spawnService(database, await slowJob(0.04))
    const id = await service.client.start('slow', { options: { batchSize: 10, parallelism: 4 } })
    const batchesOf = async () => {
      const ranges = await database.query<{ ordinal: number; batches: number }>(
        'SELECT ordinal, batches::int FROM evenkeel.ranges WHERE run_id = $1 ORDER BY ordinal',
        [id],
      )
      return new Map(ranges.map(({ ordinal, batches }) => [ordinal, batches]))
    }
    await until(
      'four ranges to be worked on',
      async () => [...(await batchesOf()).values()].filter((batches) => batches > 3).length,
      (count) => count >= 4,
    )
    service.process.kill('SIGTERM')
    await until('it to have heard', () => service.output().includes('stopping: '))
    const before = await batchesOf()
    expect(await service.ended).toBe(0)
    for (const [ordinal, batches] of await batchesOf())
      expect(batches - (before.get(ordinal) ?? 0), `batches of range ${ordinal}`).toBeLessThanOrEqual(1)
  })

  test('ends the batch in flight, which commits', async () => {
    const database = await createDatabase()
    await createItems(database, 10)
    const service = await spawnService(database, await slowJob(1.5))
    await service.client.start('slow', { options: { batchSize: 10 } })
    await untilInBatch(database)
    expect(await countDone(database)).toBe(0)
    service.process.kill('SIGTERM')
    expect(await service.ended).toBe(0)
    await expectTouchedOnce(database, 10)
  })

  test.for<[string, Record<string, unknown>, string[]]>([
    ['for the rate, with the lease', { maxRowsPerSecond: 8, batchSize: 10 }, ['rate']],
    ['for the rate, without the lease', { maxRowsPerSecond: 0.1, batchSize: 1 }, []],
    [
      'for its schedule',
      { schedule: { cron: `* * * ${((new Date().getUTCMonth() + 6) % 12) + 1} *`, timeZone: 'UTC' } },
      ['schedule'],
    ],
  ])('ends a process that waits %s', async ([, options, signals]) => {
    const database = await createDatabase()
    const service = await spawnService(database, await createItems(database, 1000))
    const id = await service.client.start('count', { options: { parallelism: 1, ...options } })
    await until('it to wait', async () => {
      const { throttle, progress } = await service.client.run(id)
      return signals.length > 0 ? signals.includes(throttle?.signal ?? '') : progress.rowsDone > 0
    })
    service.process.kill('SIGTERM')
    expect(await service.ended).toBe(0)
    expect(await owners(database)).toEqual([])
  })

  test('ends a process that waits for rows that others hold', async () => {
    const database = await createDatabase()
    const service = await spawnService(database, await createItems(database, 100))
    const holder = await database.session()
    await holder.query('BEGIN; SELECT FROM items WHERE id = 7 FOR UPDATE')
    const id = await service.client.start('count')
    await until('it to wait for the row', async () => (await service.client.run(id)).reason?.includes('1 row is held'))
    service.process.kill('SIGTERM')
    expect(await service.ended).toBe(0)
    expect(await owners(database)).toEqual([])
    await holder.query('ROLLBACK')
  })

  test.for(['answers nothing', 'refuses connections'] as const)('ends a process whose Postgres %s', async (how) => {
    const database = await createDatabase()
    const jobs = await createItems(database, 2000)
    const proxy = await startProxy(database.url)
    const client = await startInProcess(database, jobs, { ROLE: 'api' })
    const id = await client.start('count', { options: { maxRowsPerSecond: 500, batchSize: 20 } })
    const service = await spawnService({ url: proxy.url }, jobs, worker)
    await untilDone(database, 100)
    if (how === 'answers nothing') proxy.blackhole()
    else {
      proxy.refuse()
      proxy.cut()
    }
    service.process.kill('SIGTERM')
    await until('it to end', () => service.process.exitCode !== null, Boolean)
    await startInProcess(database, jobs, worker)
    await finish(client, database, id, 2000)
  })

  test('that comes a second time ends the process at once; the two of one key press are one', async () => {
    const database = await createDatabase()
    await createItems(database, 20)
    const jobs = await slowJob(3)
    const client = await startInProcess(database, jobs, { ROLE: 'api' })
    const id = await client.start('slow', { options: { batchSize: 10, parallelism: 1 } })
    const service = await spawnService(database, jobs, worker)
    await untilInBatch(database)
    service.process.kill('SIGTERM')
    service.process.kill('SIGTERM')
    await until('it to have heard', () => service.output().includes('second signal exits at once'))
    const heardAt = performance.now()
    await until('the key to be let go', () => performance.now() - heardAt > 700)
    expect(service.process.exitCode).toBeNull()
    await untilInBatch(database)
    service.process.kill('SIGTERM')
    expect(await service.ended).toBe(1)
    // The batch was left in the middle: rows and checkpoint of it are both there, or neither is.
    await untilInBatch(database)
    await startInProcess(database, jobs, worker)
    await client.reaches(id, ['succeeded'])
    await expectTouchedOnce(database, 20)
  })
})

test('SIGKILL is noticed in a few lease beats: the ranges are taken back, and go to another process', async () => {
  const rows = 20_000
  const database = await createDatabase()
  const jobs = await createItems(database, rows)
  const client = await startInProcess(database, jobs, { ROLE: 'api' })
  const id = await client.start('count', { options: { maxRowsPerSecond: 1500, batchSize: 20 } })
  const killed = await spawnService(database, jobs, worker)
  await untilOwns(database, killed)
  await startInProcess(database, jobs, worker)
  await untilOwns(database, killed)
  const killedAt = await database.value<Date>('SELECT clock_timestamp()')
  await killed.kill()
  await until('the range to be taken back', async () => (await rescuedFrom(database, killed)).length > 0)
  const seconds = await database.value<number>(
    "SELECT extract(epoch FROM max(at) - $1::timestamptz)::float8 FROM evenkeel.events WHERE kind = 'rescued'",
    [killedAt],
  )
  // The lease, and a look; the rest is for a machine that has other things to do.
  expect(seconds).toBeLessThan(timings.leaseSeconds + timings.rescueEverySeconds + 9)
  await finish(client, database, id, rows)
})
