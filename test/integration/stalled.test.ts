import { expect, test } from 'vitest'
import { createControl } from '../../src/store/control.ts'
import { rescueRanges } from '../../src/store/rescue.ts'
import { createDatabase, type TestDatabase } from '../support/database.ts'
import { createItems, untilDone } from '../support/items.ts'
import { type Client, spawnService, startInProcess, startOnDatabases } from '../support/service.ts'
import { timings } from '../support/timings.ts'
import { until } from '../support/until.ts'

/** Lets as much time go by as a run may stand still, and more, for the run, on the database's own clock: all that was seen of it is that much older. */
async function age(database: TestDatabase): Promise<void> {
  const ago = `interval '${timings.stalledAfterSeconds + 1} seconds'`
  await database.query(
    `UPDATE evenkeel.ranges SET checkpointed_at = checkpointed_at - ${ago}, wake_at = wake_at - ${ago}, lease_until = lease_until - ${ago}`,
  )
  await database.query(`UPDATE evenkeel.events SET at = at - ${ago}`)
  await database.query(
    `UPDATE evenkeel.runs SET hold = jsonb_set(hold, '{seenAt}', to_jsonb((hold->>'seenAt')::timestamptz - ${ago})) WHERE hold IS NOT NULL`,
  )
}

const metric = async (client: Client) =>
  (await client.call<string>('GET', '/metrics')).body.match(/^backfill_run_stalled\{.*$/gm) ?? []
const slowly = { options: { maxRowsPerSecond: 500, batchSize: 20 } }

test('a run whose workers are gone has stalled, with its last checkpoint, until one comes', async () => {
  const database = await createDatabase()
  const jobs = await createItems(database, 5000)
  const client = await startInProcess(database, jobs, { ROLE: 'api' })
  const id = await client.start('count', slowly)
  expect((await client.run(id)).stalled).toBeNull()
  const worker = await spawnService(database, jobs, { ROLE: 'worker' })
  await untilDone(database, 200)
  await age(database)
  await until(
    'a checkpoint',
    () => client.run(id),
    ({ stalled }) => stalled === null,
  )
  expect(await metric(client)).toEqual(['backfill_run_stalled{job_name="count"} 0'])
  await worker.kill()
  expect((await client.run(id)).stalled).toBeNull()
  await age(database)
  // A range that is taken back is no progress: workers that die one after the other have it taken back each time.
  expect(await rescueRanges(createControl(database.pool, 'evenkeel'), 'test')).toBeGreaterThan(0)
  const run = await client.run(id)
  const last = await database.value<Date>('SELECT max(checkpointed_at) FROM evenkeel.ranges')
  expect([run.status, run.lastCheckpointAt]).toEqual(['running', last.toISOString()])
  expect(run.stalled).toEqual({ since: last.toISOString(), lastCheckpointAt: last.toISOString() })
  expect(await metric(client)).toEqual(['backfill_run_stalled{job_name="count"} 1'])

  await startInProcess(database, jobs, { ROLE: 'worker' })
  await until(
    'the run to move',
    () => client.run(id),
    ({ stalled }) => stalled === null,
  )
  await client.call('PATCH', `/runs/${id}`, { maxRowsPerSecond: null })
  await client.reaches(id, ['succeeded'])
  await age(database)
  expect((await client.run(id)).stalled).toBeNull()
  expect(await metric(client)).toEqual([])
})

test('a run that no worker takes up has stalled, and one that is paused or resumed just now has not', async () => {
  const database = await createDatabase()
  const client = await startInProcess(database, await createItems(database, 10), { ROLE: 'api' })
  const id = await client.start('count')
  await age(database)
  const run = await client.run(id)
  expect([run.status, run.stalled]).toEqual(['queued', { since: run.stalled?.since, lastCheckpointAt: null }])
  await client.call('POST', `/runs/${id}/pause`)
  await age(database)
  expect((await client.run(id)).stalled).toBeNull()
  await client.call('POST', `/runs/${id}/resume`)
  expect((await client.run(id)).stalled).toBeNull()
  await age(database)
  expect((await client.run(id)).stalled).not.toBeNull()
})

test('a run that is held has not stalled as long as somebody keeps up the hold', async () => {
  const database = await createDatabase()
  const jobs = await createItems(database, 10)
  const client = await startInProcess(database, jobs, { ROLE: 'api' })
  const worker = await spawnService(database, jobs, { ROLE: 'worker' })
  const inHalfAYear = ((new Date().getUTCMonth() + 6) % 12) + 1
  const schedule = { cron: `* * * ${inHalfAYear} *`, timeZone: 'UTC' }
  const id = await client.start('count', { options: { schedule } })
  await until(
    'the run to be held',
    () => client.run(id),
    ({ throttle }) => throttle?.signal === 'schedule',
  )
  await age(database)
  await until(
    'the hold to be kept up',
    () => client.run(id),
    ({ stalled }) => stalled === null,
  )
  await worker.kill()
  await age(database)
  const run = await client.run(id)
  expect([run.throttle?.signal, run.stalled?.lastCheckpointAt]).toEqual(['schedule', null])
})

test('of several databases the one in which it has stalled is named', async () => {
  const [eu, us] = [await createDatabase(), await createDatabase()]
  await createItems(us, 10)
  const client = await startOnDatabases({ eu, us }, await createItems(eu, 10), { ROLE: 'api' })
  const id = await client.start('count')
  expect((await client.run(id)).stalled).toBeNull()
  await age(us)
  const { stalled, databases } = await client.run(id)
  expect(stalled).toEqual({ since: stalled?.since, lastCheckpointAt: null, database: 'us' })
  expect([databases?.eu?.stalled, databases?.us?.stalled?.lastCheckpointAt]).toEqual([null, null])
  expect(databases?.us?.stalled).not.toBeNull()
})
