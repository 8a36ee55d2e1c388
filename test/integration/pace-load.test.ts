import { expect, onTestFinished, test } from 'vitest'
import { createDatabase, type TestDatabase } from '../support/database.ts'
import { jobSource, jobsFolder, startInProcess, startWithTimings } from '../support/service.ts'
import { until } from '../support/until.ts'

const load = 0.2

/** Keeps the load where it is until the test ends, whatever the processes would make of it. */
function pinLoad(database: TestDatabase): void {
  let going = true
  const pinned = (async () => {
    while (going)
      await database.query(
        `UPDATE evenkeel.pace SET state = jsonb_build_object('concurrency', $1::float8, 'targetSeconds', 0.02, 'cause', NULL,
           'causeSince', NULL, 'slowed', NULL, 'loweredAt', 0, 'recentWorkers', '[1]'::jsonb, 'trail', '{}'::jsonb), version = version + 1, stepped_at = clock_timestamp()`,
        [load],
      )
  })()
  onTestFinished(async () => {
    going = false
    await pinned
  })
}

/** Statements of ours in flight, on average over some seconds: what the database feels. */
async function inFlight(database: TestDatabase, seconds: number): Promise<number> {
  const began = performance.now()
  let [sum, looked] = [0, began]
  await until(
    'seconds of looking',
    async () => {
      const active = await database.value<number>(
        `SELECT count(*)::int FROM pg_stat_activity WHERE datname = current_database()
           AND application_name = 'evenkeel engine' AND state = 'active'`,
      )
      const now = performance.now()
      // Each look stands for the time since the one before: they are not equally far apart.
      sum += active * (now - looked)
      looked = now
      return now - began
    },
    (ms) => ms > seconds * 1000,
  )
  return sum / (looked - began)
}

/** Rows that take a while each, in partitions of a batch. */
async function createSlow(database: TestDatabase, partitions: number, set: string): Promise<string> {
  await database.query('CREATE TABLE slow (id int PRIMARY KEY, touched int NOT NULL DEFAULT 0) PARTITION BY RANGE (id)')
  for (let part = 0; part < partitions; part += 1)
    await database.query(
      `CREATE TABLE slow_${part} PARTITION OF slow FOR VALUES FROM (${part * 10}) TO (${(part + 1) * 10})`,
    )
  await database.query('INSERT INTO slow SELECT generate_series(0, $1::int - 1)', [partitions * 10])
  await database.query('ANALYZE slow')
  return jobsFolder({
    'slow.ts': jobSource({ name: 'slow', table: 'slow', paced: true, rest: `set: { touched: sql\`${set}\` }` }),
  })
}

test('the last batch of a range is paid for like any other, before the next range begins', async () => {
  const database = await createDatabase()
  // A batch of 0.2 s is all that a partition holds.
  const jobs = await createSlow(database, 60, 'touched + (pg_sleep(0.02) IS NOT NULL)::int')
  pinLoad(database)
  const client = await startInProcess(database, jobs)
  const id = await client.start('slow', { options: { parallelism: 4, batchSize: 100 } })
  await until(
    'work',
    () => database.value<number>('SELECT sum(touched)::int FROM slow'),
    (done) => done > 0,
  )
  const used = await inFlight(database, 6)
  await client.call('POST', `/runs/${id}/cancel`)
  // A batch in flight for each worker beside, at the edges of what was looked at.
  expect(used).toBeLessThan(load * 1.1 + (4 * 0.2) / 6)
  expect(used).toBeGreaterThan(load / 4)
})

test('statements that are turned away, and long ones, are paid for to the last second', async () => {
  const database = await createDatabase()
  const jobs = await createSlow(database, 12, 'touched + (pg_sleep(9) IS NOT NULL)::int')
  pinLoad(database)
  const client = await startWithTimings(database, jobs, { statementSeconds: 2 })
  const id = await client.start('slow', { options: { parallelism: 2, batchSize: 10 } })
  await until('a statement', () =>
    database.value<boolean>(
      `SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database()
         AND application_name = 'evenkeel engine' AND state = 'active')`,
    ),
  )
  const used = await inFlight(database, 10)
  const began = performance.now()
  await client.call('POST', `/runs/${id}/pause`)
  await client.reaches(id, ['paused'])
  // What is owed keeps no operator waiting.
  expect(performance.now() - began).toBeLessThan(5000)
  expect(used).toBeLessThan(load * 1.1 + (2 * 2) / 10)
  expect(used).toBeGreaterThan(load / 4)
})
