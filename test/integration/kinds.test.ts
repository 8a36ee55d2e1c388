import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { createControl } from '../../src/store/control.ts'
import { rescueRanges } from '../../src/store/rescue.ts'
import { createDatabase, type TestDatabase } from '../support/database.ts'
import { Gate } from '../support/gate.ts'
import { createRole } from '../support/role.ts'
import { type Client, jobsFolder, spawnService, startInProcess, unpaced } from '../support/service.ts'
import { until } from '../support/until.ts'

// A kind of job that evenkeel does not have, in a folder of its own: test/support/kinds/delete. Runs of it keep the same promises as those of
// `update`, and nothing but the folder knows of it.

const define = fileURLToPath(new URL('../support/kinds/delete/define.ts', import.meta.url))

/** A table of which every third row is to stay, and a record of each row that was deleted. */
async function createSessions(rows: number): Promise<{ database: TestDatabase; jobs: string }> {
  const database = await createDatabase()
  await database.query('CREATE TABLE sessions (id bigint PRIMARY KEY, expired boolean NOT NULL)')
  await database.query('INSERT INTO sessions SELECT n, n % 3 <> 0 FROM generate_series(1, $1::int) n', [rows])
  await database.query('CREATE TABLE deleted (id bigint, at timestamptz DEFAULT clock_timestamp())')
  await database.query(
    'CREATE FUNCTION record() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO deleted VALUES (OLD.id); RETURN OLD; END $$',
  )
  await database.query('CREATE TRIGGER record AFTER DELETE ON sessions FOR EACH ROW EXECUTE FUNCTION record()')
  await database.query('ANALYZE sessions')
  const jobs = await jobsFolder({
    'expire.ts': `import { sql } from 'evenkeel'
import { defineDelete } from ${JSON.stringify(define)}
export default defineDelete({ name: 'expire', table: 'sessions', where: sql\`expired\`, options: ${JSON.stringify(unpaced)} })
`,
  })
  return { database, jobs }
}

const countDeleted = (database: TestDatabase) => database.value<number>('SELECT count(*)::int FROM deleted')

/** Every expired row is gone, each was deleted once, and no other row was. */
async function expectDeletedOnce(database: TestDatabase, rows: number): Promise<void> {
  const expired = rows - Math.floor(rows / 3)
  const [found] = await database.query(
    `SELECT (SELECT count(*) FROM sessions)::int AS left, (SELECT count(*) FROM sessions WHERE expired)::int AS expired,
       count(*)::int AS deleted, count(DISTINCT id)::int AS once FROM deleted`,
  )
  expect(found).toEqual({ left: rows - expired, expired: 0, deleted: expired, once: expired })
}

async function startSlowly(client: Client): Promise<string> {
  return client.start('expire', { options: { batchSize: 50, parallelism: 2 } })
}

test('a run of it does every row once and proves it', async () => {
  const { database, jobs } = await createSessions(9000)
  const client = await startInProcess(database, jobs)
  const { body } = await client.call<{ kind: string }>('GET', '/jobs/expire')
  expect(body.kind).toBe('delete')
  const run = await client.reaches(await client.start('expire'), ['succeeded'])
  expect(run.proof).toMatchObject({ rowsDone: 6000, rowsScanned: 9000, residual: 0 })
  await expectDeletedOnce(database, 9000)
})

test('a worker of it that is killed in the middle loses no row and does none twice', async () => {
  const { database, jobs } = await createSessions(12_000)
  const first = await spawnService(database, jobs)
  const id = await first.client.start('expire', { options: { batchSize: 20, maxRowsPerSecond: 3000 } })
  await until('some rows to be deleted', async () => (await countDeleted(database)) > 500)
  await first.kill()
  const second = await startInProcess(database, jobs)
  expect(await countDeleted(database)).toBeLessThan(8000)
  await second.call('PATCH', `/runs/${id}`, { maxRowsPerSecond: null })
  await second.reaches(id, ['succeeded'])
  await expectDeletedOnce(database, 12_000)
})

test('paused means paused', async () => {
  const { database, jobs } = await createSessions(9000)
  const gate = new Gate(10)
  const client = await startInProcess(database, jobs, {}, gate)
  const id = await startSlowly(client)
  await gate.untilShut()
  expect((await client.call('POST', `/runs/${id}/pause`)).body.status).toBe('paused')
  const done = await countDeleted(database)
  gate.open()
  // Workers that were kept before their next batch begin it now, and its fence is shut.
  await until('them to have given their ranges back', async () =>
    database.value<boolean>('SELECT count(lease_owner) = 0 FROM evenkeel.ranges'),
  )
  expect(await countDeleted(database)).toBe(done)
  expect(done).toBeGreaterThan(0)
  await client.call('POST', `/runs/${id}/resume`)
  await client.reaches(id, ['succeeded'])
  await expectDeletedOnce(database, 9000)
})

test('a worker whose lease was taken away deletes nothing more', async () => {
  const { database, jobs } = await createSessions(9000)
  const client = await startInProcess(database, jobs)
  const control = createControl(database.pool, 'evenkeel')
  const id = await client.start('expire', { options: { batchSize: 50, maxRowsPerSecond: 6000 } })
  let taken = 0
  for (let rows = 500; rows < 3000; rows += 400) {
    await until('more rows to be deleted', async () => (await countDeleted(database)) > rows)
    taken += await control.transaction(async (tx) => {
      await tx.db.query('UPDATE evenkeel.ranges SET lease_until = to_timestamp(0) WHERE lease_owner IS NOT NULL')
      return rescueRanges(tx, 'test')
    })
  }
  expect(taken).toBeGreaterThan(5)
  await client.call('PATCH', `/runs/${id}`, { maxRowsPerSecond: null })
  await client.reaches(id, ['succeeded'])
  await expectDeletedOnce(database, 9000)
})

test('a row that cannot be deleted is set aside, and every other one is deleted', async () => {
  const { database, jobs } = await createSessions(3000)
  await database.query('CREATE TABLE users (session bigint REFERENCES sessions)')
  await database.query('INSERT INTO users VALUES (1000), (2000)')
  const client = await startInProcess(database, jobs)
  const id = await client.start('expire', { options: { maxQuarantined: 5 } })
  const failed = await client.reaches(id, ['failed'])
  expect(failed.reason).toContain('2 rows that fail by themselves are in quarantine')
  expect(await countDeleted(database)).toBe(1998)
  const { body } = await client.call<{ rows: Array<{ key: string[]; sqlstate: string }> }>(
    'GET',
    `/runs/${id}/quarantine`,
  )
  expect(body.rows).toMatchObject([
    { key: ['1000'], sqlstate: '23503' },
    { key: ['2000'], sqlstate: '23503' },
  ])
  await database.query('DELETE FROM users')
  await client.call('POST', `/runs/${id}/quarantine/retry`)
  await client.reaches(id, ['succeeded'])
  await expectDeletedOnce(database, 3000)
})

test('rows that others hold are passed by and deleted later', async () => {
  const { database, jobs } = await createSessions(900)
  const holder = await database.session()
  await holder.query('BEGIN')
  await holder.query('SELECT FROM sessions WHERE id IN (100, 200) FOR KEY SHARE')
  const client = await startInProcess(database, jobs)
  const id = await client.start('expire')
  await until('all others to be deleted', async () => (await countDeleted(database)) === 598)
  expect((await client.run(id)).progress.stragglers).toBe(2)
  await holder.query('COMMIT')
  await client.reaches(id, ['succeeded'])
  await expectDeletedOnce(database, 900)
})

test('a role that may not delete is told so before the run', async () => {
  const { database, jobs } = await createSessions(9)
  const { url } = await createRole(database, 'SELECT, UPDATE', 'sessions')
  const client = await startInProcess({ url }, jobs, { CONTROL_SCHEMA: 'theirs' })
  const { body } = await client.call<{ detail: string }>('POST', '/runs', { job: 'expire' })
  expect(body.detail).toContain('GRANT DELETE ON sessions')
})
