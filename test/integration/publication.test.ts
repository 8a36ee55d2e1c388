import { expect, test } from 'vitest'
import { createControl } from '../../src/store/control.ts'
import { countBeat } from '../../src/store/heartbeat.ts'
import { createDatabase, type TestDatabase } from '../support/database.ts'
import { createItems, expectTouchedOnce, untilDone } from '../support/items.ts'
import { startInProcess } from '../support/service.ts'
import { until } from '../support/until.ts'

/** As Debezium makes it by default: from then on no row may be changed in a table without a replica identity. */
const publish = (database: TestDatabase) => database.query('CREATE PUBLICATION everything FOR ALL TABLES')

test('no table of ours lacks a primary key, nor one of the queue', async () => {
  const database = await createDatabase()
  await startInProcess(database, await createItems(database, 1), { ROLE: 'api' })
  const tables = await database.query<{ name: string; keyed: boolean }>(
    `SELECT c.oid::regclass::text AS name, EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary) AS keyed
     FROM pg_class c WHERE c.relkind IN ('r', 'p') AND c.relnamespace::regnamespace::text LIKE 'evenkeel%'`,
  )
  expect(tables.filter(({ keyed }) => !keyed)).toEqual([])
  expect(tables.length).toBeGreaterThan(10)
})

test('everything works where everything is published: pace, pause, hold, heartbeat, quarantine, retention', async () => {
  const database = await createDatabase()
  const jobs = await createItems(database, 3000, { paced: true })
  await database.query('ALTER TABLE items ADD CHECK (id <> 2000 OR touched = 0)')
  await publish(database)
  const client = await startInProcess(database, jobs)
  const id = await client.start('count', { options: { maxRowsPerSecond: 300, batchSize: 50 } })
  await untilDone(database, 100)
  await until('the pace to be stepped', () => database.value<boolean>('SELECT version > 1 FROM evenkeel.pace'))
  for (const path of ['/pause', '/resume', `/runs/${id}/pause`, `/runs/${id}/resume`])
    expect([path, (await client.call('POST', path)).status]).toEqual([path, 200])
  const control = createControl(database.pool, 'evenkeel')
  expect((await countBeat(control)) + 1n).toBe(await countBeat(control))
  const override = { signal: 'commit-latency', reason: 'a test', seconds: 60 }
  expect((await client.call('POST', `/runs/${id}/overrides`, override)).status).toBe(200)
  await client.call('PATCH', `/runs/${id}`, { maxRowsPerSecond: null, succeedWithQuarantined: true })
  const run = await client.reaches(id, ['succeeded'], 60)
  expect(run.proof).toMatchObject({ rowsDone: 2999, quarantined: 1 })
  await database.query('UPDATE items SET touched = 1 WHERE id = 2000 AND false')
  expect(await database.value('SELECT count(*)::int FROM items WHERE touched = 1')).toBe(2999)
})

test('a pace that cannot be stepped is told in throttle, and keeps no run from being reviewed', async () => {
  const database = await createDatabase()
  const jobs = await createItems(database, 3000, { paced: true })
  await database.query(
    `CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'not now'; END $$`,
  )
  await database.query('CREATE TRIGGER refuse BEFORE UPDATE ON evenkeel.pace FOR EACH ROW EXECUTE FUNCTION refuse()')
  const client = await startInProcess(database, jobs)
  const id = await client.start('count', { options: { batchSize: 10 } })
  await until(
    'the reason to be told',
    () => client.run(id),
    ({ throttle }) => /no process can write its next step/.test(throttle?.reason ?? ''),
  )
  const never = { cron: '* * 29 2 *', timeZone: 'UTC' }
  await client.call('PATCH', `/runs/${id}`, { schedule: never })
  await until(
    'the run to be held by its schedule',
    () => client.run(id),
    ({ throttle }) => throttle?.signal === 'schedule',
  )
  await database.query('DROP TRIGGER refuse ON evenkeel.pace')
  await client.call('PATCH', `/runs/${id}`, { schedule: null })
  await client.reaches(id, ['succeeded'])
  await expectTouchedOnce(database, 3000)
})
