import { expect, onTestFinished, test } from 'vitest'
import { startPostgres } from '../../src/embedded/index.ts'
import { phaseOf } from '../support/cuts.ts'
import { createDatabase, openDatabase } from '../support/database.ts'
import { countDone, createItems, expectTouchedOnce, untilDone } from '../support/items.ts'
import { type Connection, startProxy } from '../support/proxy.ts'
import { type Client, startInProcess } from '../support/service.ts'
import { perCommit } from '../support/tier.ts'
import { until } from '../support/until.ts'

const rows = 20_000

async function expectWhole(client: Client, id: string): Promise<string[]> {
  const run = await client.reaches(id, ['succeeded'])
  expect(run.proof).toMatchObject({ rowsDone: rows, rowsScanned: rows })
  return kinds(client, id)
}

async function kinds(client: Client, id: string): Promise<string[]> {
  const events = await client.events(id)
  return events.map(({ kind }) => kind)
}

test('sessions are terminated again and again within a run: it ends right, and nothing fails it', async () => {
  const database = await createDatabase()
  const client = await startInProcess(database, await createItems(database, rows))
  const id = await client.start('count', { options: { parallelism: 4, batchSize: 20, maxRowsPerSecond: 2000 } })
  const terminate = (application: string) =>
    until(`a session of ${application} to terminate`, () =>
      database.value<boolean>(
        `SELECT bool_or(pg_terminate_backend(pid)) FROM (SELECT pid FROM pg_stat_activity
           WHERE datname = current_database() AND application_name = $1 ORDER BY random() LIMIT 1) AS one`,
        [application],
      ),
    )
  for (let round = 0; round < perCommit(8, { nightly: 50 }); round += 1) {
    const done = await countDone(database)
    await terminate('evenkeel engine')
    await terminate('evenkeel control')
    // A range waits the longer the more often in a row it met trouble.
    await untilDone(database, done)
  }
  expect((await client.run(id)).status).toBe('running')
  await until('a change of options to get through', async () => {
    const { status } = await client.call('PATCH', `/runs/${id}`, { maxRowsPerSecond: null })
    return status === 200
  })
  expect(await expectWhole(client, id)).not.toContain('fail')
  await expectTouchedOnce(database, rows)
})

test('Postgres crashes within a run: what it forgets of rows it forgets of checkpoints', async () => {
  // The longest that a commit that waits for nothing can be in memory only.
  const postgres = await startPostgres({ settings: { wal_writer_delay: '10s' } })
  onTestFinished(() => postgres.stop())
  const database = openDatabase(postgres.url)
  const client = await startInProcess(database, await createItems(database, rows))
  const id = await client.start('count', { options: { batchSize: 50, maxRowsPerSecond: 4000 } })
  for (const done of perCommit([1000, 4000], { nightly: [1000, 4000, 8000] })) {
    await untilDone(database, done)
    await postgres.kill()
    await postgres.restart()
  }
  expect(await expectWhole(client, id)).not.toContain('fail')
  await expectTouchedOnce(database, rows)
})

test('a batch that gets stuck on its way loses its range to another worker in seconds, and does nothing when it arrives', async () => {
  const database = await createDatabase()
  const jobs = await createItems(database, rows)
  let stuck: Connection | undefined
  let answered = false
  const proxy = await startProxy(database.url, ({ from, type, sql }, connection) => {
    if (connection === stuck) answered ||= from === 'server' && type === 'Z'
    if (connection.application !== 'evenkeel engine' || phaseOf(sql) !== 'keys') return 'pass'
    if (stuck || from !== 'client' || type !== 'B') return 'pass'
    stuck = connection
    return 'hold'
  })
  const client = await startInProcess(database, jobs, { ROLE: 'api' })
  const id = await client.start('count', { options: { parallelism: 1, batchSize: 50, maxRowsPerSecond: 1000 } })
  await startInProcess(proxy, jobs, { ROLE: 'worker' })
  await until('a batch to be stuck', () => stuck)
  const stuckAt = performance.now()
  await startInProcess(database, jobs, { ROLE: 'worker' })
  await until(
    'the range to have been taken away',
    () => kinds(client, id),
    (all) => all.includes('rescued'),
  )
  await untilDone(database, 500)
  // Before the worker that waits for the answer has given up, which it does after twenty seconds.
  expect(performance.now() - stuckAt).toBeLessThan(20_000)
  expect(answered).toBe(false)
  proxy.heal()
  await until('the stuck batch to be answered', () => answered)
  await client.call('PATCH', `/runs/${id}`, { maxRowsPerSecond: null })
  await expectWhole(client, id)
  await expectTouchedOnce(database, rows)
})

test('a batch whose commit gets stuck on its way keeps its range to itself until it is known what became of it', async () => {
  const database = await createDatabase()
  const jobs = await createItems(database, rows)
  let stuck = false
  const proxy = await startProxy(database.url, ({ from, type, sql }, { application }) => {
    if (application !== 'evenkeel engine' || phaseOf(sql) !== 'keys') return 'pass'
    if (stuck || from !== 'client' || type !== 'S') return 'pass'
    stuck = true
    return 'hold'
  })
  const client = await startInProcess(database, jobs, { ROLE: 'api' })
  const id = await client.start('count', { options: { parallelism: 1, batchSize: 50 } })
  await startInProcess(proxy, jobs, { ROLE: 'worker' })
  await until('a commit to be stuck', () => stuck)
  await startInProcess(database, jobs, { ROLE: 'worker' })
  await until('the lease to have run out', () =>
    database.value<boolean>("SELECT bool_or(lease_until < clock_timestamp() - interval '2 s') FROM evenkeel.ranges"),
  )
  expect(await kinds(client, id)).not.toContain('rescued')
  // The worker that waits has gone, as the server sees it: its batch ends without a commit.
  proxy.cut('end')
  await expectWhole(client, id)
  await expectTouchedOnce(database, rows)
})
