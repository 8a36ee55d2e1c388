import { expect, onTestFinished, test } from 'vitest'
import { createDatabase, createEmptyDatabase, type TestDatabase } from '../support/database.ts'
import { countDone, createItems, expectTouchedOnce } from '../support/items.ts'
import { release, startPostgres } from '../support/postgres.ts'
import { type Client, startInProcess, startWithTimings } from '../support/service.ts'
import { until } from '../support/until.ts'

interface Quarantined {
  readonly key: string[]
  readonly sqlstate: string
  readonly message: string
}

async function quarantineOf(client: Client, id: string): Promise<Quarantined[]> {
  return (await client.call<{ rows: Quarantined[] }>('GET', `/runs/${id}/quarantine?limit=1000`)).body.rows
}

/** A trigger for each row of items that is changed. */
async function onUpdate(database: TestDatabase, body: string): Promise<void> {
  await database.query(
    `CREATE FUNCTION on_update() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN ${body} RETURN NEW; END $$`,
  )
  await database.query('CREATE TRIGGER on_update BEFORE UPDATE ON items FOR EACH ROW EXECUTE FUNCTION on_update()')
}

test('rows whose trigger raises what else means the server are set aside, and all others are done', async () => {
  const database = await createDatabase()
  const jobs = await createItems(database, 120)
  const codes = ['08006', '28P01', '53100', '53300', '57P01', '57P03', '58030', '25006', '40001', '55P03', '42501']
  await onUpdate(
    database,
    codes
      .map(
        (code, index) => `IF NEW.id = ${10 * (index + 1)} THEN RAISE EXCEPTION 'no' USING ERRCODE = '${code}'; END IF;`,
      )
      .join('\n'),
  )
  const client = await startInProcess(database, jobs)
  const id = await client.start('count', { options: { parallelism: 1, succeedWithQuarantined: true } })
  const run = await client.reaches(id, ['succeeded'], 60)
  expect(run.proof).toMatchObject({ rowsDone: 120 - codes.length, quarantined: codes.length })
  const found = (await quarantineOf(client, id)).map(({ key, sqlstate }) => [Number(key[0]), sqlstate] as const)
  expect(found.sort(([a], [b]) => a - b)).toEqual(codes.map((code, index) => [10 * (index + 1), code]))
})

test('an error that all rows meet alike holds the run, sets hardly a row aside, and ends with its cause', async () => {
  const database = await createDatabase()
  const jobs = await createItems(database, 3000)
  await onUpdate(database, "NEW.label := current_setting('app.user_id');")
  const client = await startInProcess(database, jobs)
  const id = await client.start('count', { options: { parallelism: 1 } })
  const waiting = await until(
    'the range to wait for the third time',
    () => client.run(id),
    ({ throttle, status }) => (throttle?.value ?? 0) >= 3 || status === 'failed',
  )
  expect(waiting.status).toBe('running')
  expect(waiting.throttle?.reason).toMatch(
    /^Range 0 waits .* unrecognized configuration parameter "app.user_id" \[42704\]\.$/,
  )
  expect(waiting.progress).toMatchObject({ rowsDone: 0, quarantined: 0 })
  expect(waiting.progress.stragglers).toBeLessThan(20)
  // Only sessions that begin now know of it.
  await database.query(`ALTER DATABASE ${database.name} SET app.user_id = '7'`)
  const run = await client.reaches(id, ['succeeded'], 60)
  expect(run.proof).toMatchObject({ rowsDone: 3000, quarantined: 0 })
  expect(await database.value("SELECT count(*)::int FROM items WHERE label = '7'")).toBe(3000)
})

test('rows that lie together and fail alike do not stop the rows behind them', async () => {
  const database = await createDatabase()
  const jobs = await createItems(database, 200)
  await onUpdate(database, "IF NEW.id BETWEEN 51 AND 60 THEN RAISE EXCEPTION 'no amount'; END IF;")
  const client = await startInProcess(database, jobs)
  const id = await client.start('count', { options: { parallelism: 1 } })
  const run = await client.reaches(id, ['failed'], 60)
  expect(run.reason).toContain('Every other row is done and checked, but 10 rows that fail by themselves')
  expect(await countDone(database)).toBe(190)
})

// There is such a setting since Postgres 17; the queue is full just the same on older ones.
test.runIf(release >= 17)(
  'a queue of notifications that is full holds the run, which goes on when it is read',
  async () => {
    const postgres = await startPostgres({ settings: { max_notify_queue_pages: '64' } })
    onTestFinished(() => postgres.stop())
    const database = await createEmptyDatabase(postgres.url)
    const jobs = await createItems(database, 1000)
    await onUpdate(database, "PERFORM pg_notify('changes', NEW.id || repeat('x', 2000));")
    const listener = await database.session()
    await listener.query('LISTEN changes')
    await listener.query('BEGIN')
    await listener.query('SELECT 1')
    const client = await startInProcess(database, jobs)
    const id = await client.start('count', { options: { parallelism: 1 } })
    const waiting = await until(
      'the range to wait',
      () => client.run(id),
      ({ throttle, status }) => throttle !== null || status === 'failed',
    )
    // Tickets on Postgres need that queue, too: either may say so.
    expect(waiting.throttle?.reason).toContain('too many notifications in the NOTIFY queue')
    expect(waiting.progress).toMatchObject({ quarantined: 0, stragglers: 0 })
    await listener.query('COMMIT')
    await until('the run to succeed', async () => {
      // What has been read is given free by the next that looks at the queue, and this job fills it more than once.
      await listener.query('SELECT pg_notification_queue_usage()')
      return (await client.run(id)).status === 'succeeded'
    })
    await expectTouchedOnce(database, 1000)
  },
)

/** A constraint trigger that is deferred to the commit, where no statement_timeout counts. */
async function onCommit(database: TestDatabase, body: string): Promise<void> {
  await database.query(
    `CREATE FUNCTION on_commit() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN ${body} RETURN NULL; END $$`,
  )
  await database.query(
    'CREATE CONSTRAINT TRIGGER on_commit AFTER UPDATE ON items DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION on_commit()',
  )
}

test('deferred triggers count in the time of a batch: one that takes too long is ended, told, and halved', async () => {
  const database = await createDatabase()
  const jobs = await createItems(database, 40)
  await onCommit(database, 'PERFORM pg_sleep(0.1);')
  const client = await startWithTimings(database, jobs, { statementSeconds: 1 })
  const id = await client.start('count', { options: { parallelism: 1, batchSize: 40 } })
  const told = await until(
    'the range to wait',
    () => client.run(id),
    ({ throttle }) => throttle?.signal === 'statement-timeout',
    30,
  )
  expect(told.throttle?.reason).toMatch(/transaction timeout|deferred constraints and triggers/)
  await client.reaches(id, ['succeeded'], 60)
  await expectTouchedOnce(database, 40)
  const longest = await database.value<number>(
    "SELECT count(*)::int FROM pg_stat_activity WHERE application_name = 'evenkeel engine' AND datname = current_database() AND now() - xact_start > interval '3 seconds'",
  )
  expect(longest).toBe(0)
})

test('a row whose deferred trigger alone takes too long is set aside in the end', async () => {
  const database = await createDatabase()
  const jobs = await createItems(database, 4)
  await onCommit(database, 'IF NEW.id = 2 THEN PERFORM pg_sleep(5); END IF;')
  const client = await startWithTimings(database, jobs, { statementSeconds: 1 })
  const id = await client.start('count', {
    options: { parallelism: 1, batchSize: 1, succeedWithQuarantined: true },
  })
  const run = await client.reaches(id, ['succeeded'], 90)
  expect(run.proof).toMatchObject({ rowsDone: 3, quarantined: 1 })
  expect((await quarantineOf(client, id)).map(({ key }) => key)).toEqual([['2']])
})
