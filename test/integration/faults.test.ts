import { expect, test } from 'vitest'
import { type Fault, faults } from '../../src/core/fault.ts'
import { createDatabase, createEmptyDatabase, type TestDatabase } from '../support/database.ts'
import { createItems, expectTouchedOnce, untilDone } from '../support/items.ts'
import { type Client, startInProcess } from '../support/service.ts'
import { inTurn } from '../support/tier.ts'
import { until } from '../support/until.ts'

const rows = 2000

/** A table that refuses every change with the SQLSTATE that stands in `trouble`, as long as one does. */
async function createTroubled() {
  const database = await createDatabase()
  const jobs = await createItems(database, rows)
  await database.query('CREATE TABLE trouble (sqlstate text)')
  await database.query(`CREATE FUNCTION trouble() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE code text := (SELECT sqlstate FROM trouble);
    BEGIN
      -- What somebody raises on purpose is about a row, and this is not.
      IF NEW.id > 500 AND code = '42883' THEN PERFORM no_such_function(); END IF;
      IF NEW.id > 500 AND code IS NOT NULL THEN RAISE EXCEPTION 'trouble on purpose' USING ERRCODE = code; END IF;
      RETURN NEW;
    END $$`)
  await database.query('CREATE TRIGGER trouble BEFORE UPDATE ON items FOR EACH ROW EXECUTE FUNCTION trouble()')
  return { database, client: await startInProcess(database, jobs) }
}

const begin = (database: TestDatabase, sqlstate: string) =>
  database.query('INSERT INTO trouble VALUES ($1)', [sqlstate])
const end = (database: TestDatabase) => database.query('DELETE FROM trouble')

async function faultsOf(client: Client, id: string): Promise<Partial<Record<Fault, number>>> {
  const ranges = await client.ranges(id)
  const sums: Partial<Record<Fault, number>> = {}
  for (const range of ranges)
    for (const [fault, count] of Object.entries(range.faults) as Array<[Fault, number]>)
      sums[fault] = (sums[fault] ?? 0) + count
  return sums
}

const codes: ReadonlyArray<[Fault, string]> = [
  ['serialization', '40001'],
  ['deadlock', '40P01'],
  ['lock-timeout', '55P03'],
  ['statement-timeout', '57014'],
  ['out-of-memory', '53200'],
  ['connection', '08006'],
  ['read-only', '25006'],
  ['too-many-connections', '53300'],
  ['disk-full', '53100'],
  ['resources', '53400'],
  ['authentication', '28P01'],
  ['system', '58030'],
]

test.for(inTurn(codes, 5))(
  '%s (%s) never fails a run: its ranges wait, longer each time, and say why; then all goes on',
  async ([fault, code]) => {
    const { database, client } = await createTroubled()
    await begin(database, code)
    const id = await client.start('count', { options: { batchSize: 100, parallelism: 2 } })
    const waiting = await until(
      'a range to wait for the second time',
      () => client.run(id),
      ({ throttle }) => throttle?.signal === fault && (throttle.value ?? 0) >= 2,
    )
    expect(waiting.status).toBe('running')
    expect(waiting.throttle?.reason).toMatch(
      new RegExp(
        `^Range \\d+ waits .+ s and is tried again, after \\d+ failures in a row: trouble on purpose (\\(for a lock whose holder was gone before it could be read\\) )?\\[${code}\\]\\.$`,
      ),
    )
    // The moment it began stays, however often it is tried.
    const since = waiting.throttle?.since as string
    expect(Date.parse(waiting.createdAt) - 1000).toBeLessThan(Date.parse(since))
    await untilDone(database, 400)
    const counted = await faultsOf(client, id)
    expect(Object.keys(counted)).toEqual([fault])
    // What is tried again in smaller windows is tried five times before the slice is given up.
    expect(counted[fault]).toBeGreaterThanOrEqual(faults[fault] === 'halve' ? 10 : 2)
    const metrics = await client.call<string>('GET', '/metrics')
    expect(metrics.body).toMatch(
      new RegExp(`^backfill_batch_faults_total\\{job_name="count",fault="${fault}"\\} [1-9]`, 'm'),
    )

    await end(database)
    const run = await client.reaches(id, ['succeeded'])
    expect(run.throttle).toBeNull()
    expect(run.proof).toMatchObject({ rowsDone: rows, rowsScanned: rows, quarantined: 0 })
    await expectTouchedOnce(database, rows)
  },
)

test('a fault of the job stops its run at once, with nothing of the batch done', async () => {
  const { database, client } = await createTroubled()
  await begin(database, '42883')
  const id = await client.start('count', { options: { batchSize: 100, parallelism: 1 } })
  const run = await client.reaches(id, ['failed'])
  expect(run.reason).toMatch(
    /^A batch of range 0 failed: function no_such_function\(\) does not exist \[42883\]\. Nothing of that batch was written\./,
  )
  expect(run.progress.rowsDone).toBe(500)
  expect(await faultsOf(client, id)).toEqual({ job: 1 })
  await end(database)
  await client.call('POST', `/runs/${id}/retry`)
  await client.reaches(id, ['succeeded'])
  await expectTouchedOnce(database, rows)
})

test('a pause reaches a run that is in trouble at once', async () => {
  const { database, client } = await createTroubled()
  await begin(database, '53100')
  const id = await client.start('touch', { options: { batchSize: 100 } })
  await until(
    'a range to wait',
    () => client.run(id),
    ({ throttle }) => throttle?.signal === 'disk-full',
  )
  const paused = await client.call('POST', `/runs/${id}/pause`)
  expect([paused.status, paused.body.status, paused.body.throttle]).toEqual([200, 'paused', null])
  await end(database)
  // Nor does it sit out the wait that began before.
  await client.call('POST', `/runs/${id}/resume`)
  await client.reaches(id, ['succeeded'])
  await expectTouchedOnce(database, rows)
})

test('sessions that cannot be had hold the run with that reason', async () => {
  const database = await createEmptyDatabase()
  const jobs = await createItems(database, rows)
  const role = `${database.name}_worker`
  await database.query(`CREATE ROLE ${role} LOGIN PASSWORD 'correct horse battery'`)
  await database.query(`GRANT CREATE ON DATABASE ${database.name} TO ${role}`)
  await database.query(`GRANT SELECT, UPDATE ON items TO ${role}`)
  const url = new URL(database.url)
  url.username = role
  url.password = 'correct horse battery'
  const client = await startInProcess({ url: url.href }, jobs)
  const id = await client.start('count', { options: { maxRowsPerSecond: 100, batchSize: 10 } })
  await untilDone(database, 20)
  // New sessions are refused, and those of the engine are ended: the control pool has sessions enough.
  await database.query(`ALTER ROLE ${role} PASSWORD 'another'`)
  await database.query(
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = $1 AND application_name = 'evenkeel engine'",
    [role],
  )
  const held = await until(
    'a range to wait',
    () => client.run(id),
    ({ throttle }) => throttle?.signal === 'authentication' || throttle?.signal === 'connection',
  )
  expect(held.status).toBe('running')
  expect(JSON.stringify(held)).not.toContain('correct horse')
  await database.query(`ALTER ROLE ${role} PASSWORD 'correct horse battery'`)
  await client.call('PATCH', `/runs/${id}`, { maxRowsPerSecond: null })
  await client.reaches(id, ['succeeded'])
  await expectTouchedOnce(database, rows)
})

test('windows that pass only when they are tiny are come down to over several slices, and never failed', async () => {
  const database = await createDatabase()
  const jobs = await createItems(database, 60)
  // More than three rows at once take too long, as the server sees it.
  await database.query(`CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      IF (SELECT count(*) FROM changed) > 3 THEN RAISE EXCEPTION 'too many at once' USING ERRCODE = '57014'; END IF;
      RETURN NULL;
    END $$`)
  await database.query(
    'CREATE TRIGGER slow AFTER UPDATE ON items REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION slow()',
  )
  const client = await startInProcess(database, jobs)
  const id = await client.start('count', { options: { batchSize: 1000, parallelism: 1 } })
  const run = await client.reaches(id, ['succeeded'])
  expect(run.proof).toMatchObject({ rowsDone: 60, rowsScanned: 60 })
  // From 1000 rows to three in halves, of which a slice makes five; not anew in each slice.
  expect((await faultsOf(client, id))['statement-timeout']).toBeLessThan(40)
  await expectTouchedOnce(database, 60)
})
