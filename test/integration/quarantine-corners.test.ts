import { expect, test } from 'vitest'
import { createDatabase } from '../support/database.ts'
import { createItems } from '../support/items.ts'
import { release } from '../support/postgres.ts'
import { startProxy } from '../support/proxy.ts'
import { type Client, jobSource, jobsFolder, startInProcess, startOnDatabases } from '../support/service.ts'
import { timings } from '../support/timings.ts'
import { until } from '../support/until.ts'

interface Row {
  readonly id: string
  readonly key: string[]
  readonly sqlstate: string
  readonly message: string
  readonly attempts: number
}

async function quarantineOf(client: Client, id: string): Promise<Row[]> {
  return (await client.call<{ rows: Row[] }>('GET', `/runs/${id}/quarantine?limit=1000`)).body.rows
}

test('rows in quarantine in one of several databases are retried, though the run has succeeded in the others', async () => {
  const [eu, us] = [await createDatabase(), await createDatabase()]
  await createItems(us, 100)
  const client = await startOnDatabases({ eu, us }, await createItems(eu, 100))
  await us.query('ALTER TABLE items ADD CONSTRAINT sound CHECK (touched = 0 OR id <> 50)')
  const id = await client.start('count')
  const run = await client.reaches(id, ['failed'])
  expect([run.databases?.eu?.status, run.databases?.us?.status]).toEqual(['succeeded', 'failed'])
  await us.query('ALTER TABLE items DROP CONSTRAINT sound')
  const retried = await client.call<{ retried: number }>('POST', `/runs/${id}/quarantine/retry`)
  expect(retried).toMatchObject({ status: 200, body: { retried: 1 } })
  await client.reaches(id, ['succeeded'])
})

test('keys of text columns of different collations can be set aside, and are left out of the check', async () => {
  const database = await createDatabase()
  await database.query(
    'CREATE TABLE texts (a text COLLATE "C", b text COLLATE "POSIX", raw text, number int, PRIMARY KEY (a, b))',
  )
  await database.query(
    "INSERT INTO texts SELECT n, n, CASE WHEN n IN (7, 450) THEN 'x' ELSE n::text END FROM generate_series(1, 500) n",
  )
  const jobs = await jobsFolder({
    'numbers.ts': jobSource({
      name: 'numbers',
      table: 'texts',
      rest: 'where: sql`number IS NULL`, set: { number: sql`raw::int` }',
    }),
  })
  const client = await startInProcess(database, jobs)
  const id = await client.start('numbers', { options: { succeedWithQuarantined: true, batchSize: 50 } })
  const run = await client.reaches(id, ['succeeded'])
  expect(run.proof).toMatchObject({ rowsDone: 498, rowsScanned: 500, quarantined: 2 })
  expect((await quarantineOf(client, id)).length).toBe(2)
})

test('a row that alone takes longer than a slice to fail is found', async () => {
  const database = await createDatabase()
  const jobs = await createItems(database, 3)
  await database.query(`CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      IF NEW.id = 2 THEN PERFORM pg_sleep(${timings.sliceSeconds + 0.5}); RAISE EXCEPTION 'no answer'; END IF;
      RETURN NEW;
    END $$`)
  await database.query('CREATE TRIGGER slow BEFORE UPDATE ON items FOR EACH ROW EXECUTE FUNCTION slow()')
  const client = await startInProcess(database, jobs)
  const id = await client.start('count', { options: { succeedWithQuarantined: true, parallelism: 1 } })
  await client.reaches(id, ['succeeded'])
  expect((await quarantineOf(client, id)).map(({ key }) => key)).toEqual([['2']])
})

test('a failure that is no row of the window does not go round for ever', async () => {
  const database = await createDatabase()
  const jobs = await createItems(database, 20)
  await database.query(`CREATE FUNCTION frozen() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN RAISE EXCEPTION 'items are frozen'; END $$`)
  await database.query('CREATE TRIGGER frozen BEFORE UPDATE ON items FOR EACH STATEMENT EXECUTE FUNCTION frozen()')
  const client = await startInProcess(database, jobs)
  const id = await client.start('count', { options: { parallelism: 1 } })
  const run = await client.reaches(id, ['failed'], 20)
  expect(run.reason).toContain('items are frozen')
})

test('a straggler is not set aside for what is wrong with another row', async () => {
  const database = await createDatabase()
  await database.query('CREATE TABLE texts (id int PRIMARY KEY, raw text NOT NULL, number int)')
  await database.query(
    "INSERT INTO texts SELECT n, CASE WHEN n = 1 THEN 'x' ELSE n::text END FROM generate_series(1, 2000) n",
  )
  await database.query('ANALYZE texts')
  const jobs = await jobsFolder({
    'numbers.ts': jobSource({
      name: 'numbers',
      table: 'texts',
      rest: 'where: sql`raw::int > 0 AND number IS NULL`, set: { number: sql`raw::int` }',
    }),
  })
  const client = await startInProcess(database, jobs)
  const holder = await database.session()
  await holder.query('BEGIN')
  await holder.query('SELECT FROM texts WHERE id > 500 FOR UPDATE')
  const id = await client.start('numbers', { options: { succeedWithQuarantined: true, batchSize: 200 } })
  await until(
    'the rows to be stragglers',
    () => client.run(id),
    ({ progress }) => progress.stragglers === 1500,
  )
  await database.query('ANALYZE evenkeel.stragglers')
  await holder.query('COMMIT')
  await client.reaches(id, ['succeeded', 'failed'])
  expect((await quarantineOf(client, id)).map(({ key }) => key)).toEqual([['1']])
})

test.each([
  ['bytea', "decode(string_agg(md5(random()::text), ''), 'hex')", 162],
  ['text', "left(string_agg(md5(random()::text), ''), 2600)", 82],
])(
  'a row whose key is as long as its index takes, of %s, is set aside, retried and discarded',
  async (type, value, times) => {
    const database = await createDatabase()
    await database.query(
      `CREATE TABLE items (id ${type} PRIMARY KEY, number int, touched int NOT NULL DEFAULT 0, bad boolean)`,
    )
    await database.query(
      `INSERT INTO items SELECT ${value}, n, 0, n IN (5, 11) FROM generate_series(1, 20) n, generate_series(1, ${times}) GROUP BY n`,
    )
    expect(await database.value<number>('SELECT min(length(id)) FROM items')).toBeGreaterThan(2550)
    await database.query('ALTER TABLE items ADD CONSTRAINT sound CHECK (touched = 0 OR NOT bad)')
    const jobs = await jobsFolder({
      'count.ts': jobSource({ name: 'count', table: 'items', rest: 'set: { touched: sql`touched + 1` }' }),
    })
    const client = await startInProcess(database, jobs)
    const id = await client.start('count', { options: { batchSize: 8 } })
    expect((await client.reaches(id, ['failed'])).reason).toContain('Every other row is done and checked, but 2 rows')
    const [first, second] = await quarantineOf(client, id)
    expect(first).toMatchObject({ sqlstate: '23514', attempts: 1 })
    const bad = await database.query<{ id: string }>('SELECT id::text FROM items WHERE bad ORDER BY id')
    expect([first?.key[0], second?.key[0]].sort()).toEqual(bad.map((row) => row.id).sort())

    expect((await client.call('POST', `/runs/${id}/quarantine/retry`, { ids: [first?.id] })).status).toBe(200)
    await client.reaches(id, ['failed'])
    const again = await quarantineOf(client, id)
    expect(again.map(({ key, attempts }) => [key[0], attempts])).toEqual(
      expect.arrayContaining([
        [first?.key[0], 2],
        [second?.key[0], 1],
      ]),
    )
    const given = { ids: again.filter(({ attempts }) => attempts === 1).map((row) => row.id), reason: 'a test' }
    expect((await client.call('POST', `/runs/${id}/quarantine/discard`, given)).status).toBe(200)
    await database.query('UPDATE items SET bad = false')
    expect((await client.call('POST', `/runs/${id}/quarantine/retry`)).status).toBe(200)
    const run = await client.reaches(id, ['succeeded'])
    expect(run.proof).toMatchObject({ rowsDone: 19, rowsScanned: 20, quarantined: 0, discarded: 1 })
  },
)

test('a row that takes too much memory in every try is set aside in the end, and the run ends', async () => {
  const database = await createDatabase()
  const jobs = await createItems(database, 30)
  await database.query(`CREATE FUNCTION too_much() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN IF NEW.id = 12 THEN RAISE EXCEPTION 'out of memory' USING ERRCODE = '53200'; END IF; RETURN NEW; END $$`)
  await database.query('CREATE TRIGGER too_much BEFORE UPDATE ON items FOR EACH ROW EXECUTE FUNCTION too_much()')
  const client = await startInProcess(database, jobs)
  const id = await client.start('count', { options: { parallelism: 1, succeedWithQuarantined: true } })
  const run = await client.reaches(id, ['succeeded'])
  expect(run.proof).toMatchObject({ rowsDone: 29, rowsScanned: 30, quarantined: 1 })
  expect(await quarantineOf(client, id)).toMatchObject([{ key: ['12'], sqlstate: '53200', message: 'out of memory' }])
  expect(await database.query('SELECT id::int FROM items WHERE touched <> 1')).toEqual([{ id: 12 }])
})

// transaction_timeout came with Postgres 17.
test.runIf(release >= 17)('a transaction_timeout of the role holds the run, and does not fail it', async () => {
  const database = await createDatabase()
  const jobs = await createItems(database, 20)
  await database.query(`ALTER DATABASE ${database.name} SET transaction_timeout = '500ms'`)
  await database.query(`CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN IF NEW.id = 2 THEN PERFORM pg_sleep(1); END IF; RETURN NEW; END $$`)
  await database.query('CREATE TRIGGER slow BEFORE UPDATE ON items FOR EACH ROW EXECUTE FUNCTION slow()')
  const client = await startInProcess(database, jobs)
  const id = await client.start('count', { options: { parallelism: 1 } })
  const run = await until(
    'it to wait',
    () => client.run(id),
    ({ throttle, status }) => throttle !== null || status === 'failed',
  )
  expect(run.status).toBe('running')
  await database.query(`DROP TRIGGER slow ON items`)
  await client.reaches(id, ['succeeded'])
})

test('rows that are retried while the run verifies are no rounds of the check', async () => {
  const database = await createDatabase()
  const jobs = await createItems(database, 3000)
  await database.query('CREATE TABLE bad (id bigint)')
  await database.query('INSERT INTO bad VALUES (50)')
  await database.query(`CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN IF NEW.id IN (SELECT id FROM bad) THEN RAISE EXCEPTION 'bad'; END IF; RETURN NEW; END $$`)
  await database.query('CREATE TRIGGER refuse BEFORE UPDATE ON items FOR EACH ROW EXECUTE FUNCTION refuse()')
  const client = await startInProcess(database, jobs)
  const id = await client.start('touch', { options: { batchSize: 5, parallelism: 1, maxRowsPerSecond: null } })
  let retried = 0
  for (;;) {
    const run = await client.run(id)
    if (run.status === 'failed') {
      expect(run.reason).not.toContain('rounds')
      break
    }
    if (run.status === 'verifying' && retried < 8) {
      const { status } = await client.call('POST', `/runs/${id}/quarantine/retry`)
      if (status === 200) retried += 1
    }
  }
})

test('a row of a partition that is away for a while is not left out; of one that was dropped it has gone', async () => {
  const database = await createDatabase()
  await database.query(
    'CREATE TABLE items (id int PRIMARY KEY, touched int NOT NULL DEFAULT 0) PARTITION BY RANGE (id)',
  )
  await database.query('CREATE TABLE items_1 PARTITION OF items FOR VALUES FROM (0) TO (100)')
  await database.query('CREATE TABLE items_2 PARTITION OF items FOR VALUES FROM (100) TO (200)')
  await database.query('CREATE TABLE items_3 PARTITION OF items FOR VALUES FROM (200) TO (300)')
  await database.query('INSERT INTO items SELECT generate_series(1, 299)')
  const jobs = await jobsFolder({
    'count.ts': jobSource({ name: 'count', table: 'items', rest: 'set: { touched: sql`touched + 1` }' }),
  })
  const client = await startInProcess(database, jobs)
  const [one, two, three] = [await database.session(), await database.session(), await database.session()]
  await one.query('BEGIN; SELECT FROM items_1 WHERE id = 50 FOR UPDATE')
  await two.query('BEGIN; SELECT FROM items_2 WHERE id = 150 FOR UPDATE')
  await three.query('BEGIN; SELECT FROM items_3 WHERE id = 250 FOR UPDATE')
  const id = await client.start('count')
  await until(
    'all three to be stragglers',
    () => client.run(id),
    ({ progress }) => progress.stragglers === 3,
  )
  await client.call('POST', `/runs/${id}/pause`)
  await two.query('COMMIT')
  await three.query('COMMIT')
  await database.query('ALTER TABLE items DETACH PARTITION items_2')
  await database.query('DROP TABLE items_3')
  await client.call('POST', `/runs/${id}/resume`)
  await until(
    'the two to be tried',
    () => client.run(id),
    ({ progress }) => progress.stragglers === 1,
  )
  await database.query('ALTER TABLE items ATTACH PARTITION items_2 FOR VALUES FROM (100) TO (200)')
  await one.query('COMMIT')
  const failed = await client.reaches(id, ['failed'])
  expect(failed.reason).toContain('Every other row is done and checked, but 1 row')
  expect(await quarantineOf(client, id)).toMatchObject([
    {
      key: ['150'],
      sqlstate: '42P01',
      message: expect.stringContaining('its partition items_2 is not part of the table'),
    },
  ])
  expect((await client.call('POST', `/runs/${id}/quarantine/retry`)).status).toBe(200)
  const run = await client.reaches(id, ['succeeded'])
  expect(run.proof).toMatchObject({ rowsDone: 298, rowsGone: 1, rowsScanned: 299, quarantined: 0 })
  expect(await database.query('SELECT id FROM items WHERE touched <> 1')).toEqual([])
})

test('a row that took the place of the one that failed is not set aside in its stead', async () => {
  const database = await createDatabase()
  const jobs = await createItems(database, 100)
  await database.query('ALTER TABLE items ADD CONSTRAINT sound CHECK (touched = 0 OR id <> 50)')
  let held = false
  const proxy = await startProxy(database.url, ({ from, type, sql }) => {
    if (held || from !== 'client' || type !== 'P' || !/INSERT INTO \S+quarantine AS q/.test(sql)) return 'pass'
    held = true
    return 'hold'
  })
  const client = await startInProcess({ url: proxy.url }, jobs)
  const id = await client.start('count', { options: { parallelism: 1 } })
  await until('the row to be about to be set aside', () => held)
  await database.query('DELETE FROM items WHERE id = 50')
  proxy.heal()
  const run = await client.reaches(id, ['succeeded'])
  expect(run.proof).toMatchObject({ rowsDone: 99, rowsScanned: 99, quarantined: 0 })
  expect(await quarantineOf(client, id)).toEqual([])
})
