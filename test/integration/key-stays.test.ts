import { describe, expect, test } from 'vitest'
import { createDatabase, type TestDatabase } from '../support/database.ts'
import { countDone, untilDone } from '../support/items.ts'
import { release } from '../support/postgres.ts'
import { type Client, jobSource, jobsFolder, queueKind, startInProcess } from '../support/service.ts'
import { until } from '../support/until.ts'

// What becomes of a table under a run does not hang on the queue.
const once = describe.skipIf(queueKind === 'redis')

const count = 'set: { touched: sql`touched + 1` }'
const touch = 'where: sql`touched = 0`, set: { touched: sql`touched + 1` }'

/** A table `items`, by its DDL, and a service with one job on it. */
async function openItems(rest: string, ...ddl: string[]): Promise<{ database: TestDatabase; client: Client }> {
  const database = await createDatabase()
  for (const statement of ddl) await database.query(statement)
  const jobs = await jobsFolder({ 'job.ts': jobSource({ name: 'job', table: 'items', rest }) })
  return { database, client: await startInProcess(database, jobs) }
}

/** A run in the middle of its table: some hundred rows are done, and more come slowly. */
async function startSlowly({ database, client }: Awaited<ReturnType<typeof openItems>>): Promise<string> {
  const id = await client.start('job', { options: { batchSize: 20, maxRowsPerSecond: 500, parallelism: 1 } })
  await untilDone(database, 100)
  return id
}

async function refused(client: Client): Promise<string> {
  const { status, body } = await client.call<{ detail: string }>('POST', '/runs', { job: 'job' })
  expect(status).toBe(422)
  return body.detail
}

once('a run is refused where its set would move the key', () => {
  test('which is generated from a column that it writes', async () => {
    const { client } = await openItems(
      'set: { touched: sql`touched + 1000` }',
      'CREATE TABLE items (id int NOT NULL, touched int NOT NULL DEFAULT 0, k int GENERATED ALWAYS AS (id + touched) STORED PRIMARY KEY)',
    )
    expect(await refused(client)).toContain('Key column k is generated from a column that set writes')
  })

  test('which a foreign key changes, through another table', async () => {
    const { client } = await openItems(
      'set: { code: sql`code + 1000` }',
      'CREATE TABLE items (id int PRIMARY KEY, code int NOT NULL UNIQUE)',
      'CREATE TABLE middle (code int UNIQUE REFERENCES items (code) ON UPDATE CASCADE, twice int UNIQUE GENERATED ALWAYS AS (code * 2) STORED)',
      'ALTER TABLE items ADD CONSTRAINT follows FOREIGN KEY (id) REFERENCES middle (code) ON UPDATE CASCADE NOT VALID',
    )
    expect(await refused(client)).toContain('Foreign key follows changes key column id')
  })

  test('which refers to the same table', async () => {
    const { client } = await openItems(
      'set: { code: sql`code + 1000` }',
      'CREATE TABLE items (id int PRIMARY KEY, code int NOT NULL UNIQUE, CONSTRAINT same FOREIGN KEY (id) REFERENCES items (code) ON UPDATE CASCADE)',
    )
    expect(await refused(client)).toContain('Foreign key same changes key column id')
  })

  test('of a partition alone', async () => {
    const { client } = await openItems(
      'set: { code: sql`code + 1000` }',
      'CREATE TABLE items (id int PRIMARY KEY, code int NOT NULL) PARTITION BY RANGE (id)',
      'CREATE TABLE part PARTITION OF items FOR VALUES FROM (0) TO (100)',
      'ALTER TABLE part ADD UNIQUE (code), ADD CONSTRAINT same FOREIGN KEY (id) REFERENCES part (code) ON UPDATE CASCADE',
    )
    expect(await refused(client)).toContain('Foreign key same changes key column id')
  })

  test('and not where a foreign key changes something else, or nothing', async () => {
    const { client, database } = await openItems(
      touch,
      'CREATE TABLE items (id int PRIMARY KEY, code int NOT NULL UNIQUE, touched int NOT NULL DEFAULT 0, double int GENERATED ALWAYS AS (touched * 2) STORED)',
      'INSERT INTO items SELECT n, n FROM generate_series(1, 10) n',
      'CREATE TABLE others (item int PRIMARY KEY REFERENCES items ON UPDATE CASCADE, code int REFERENCES items (code) ON UPDATE CASCADE)',
      'ALTER TABLE items ADD FOREIGN KEY (code) REFERENCES others (item) ON UPDATE CASCADE NOT VALID',
    )
    await client.reaches(await client.start('job'), ['succeeded'])
    expect(await countDone(database)).toBe(10)
  })
})

once('a trigger that moves the key ends the run, and nothing of that batch is written', () => {
  const table = 'CREATE TABLE items (id int PRIMARY KEY, touched int NOT NULL DEFAULT 0)'
  const moving = (when: string, to: string) => [
    `CREATE FUNCTION move() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN new.id := ${to}; RETURN new; END $$`,
    `CREATE TRIGGER move BEFORE UPDATE ON items FOR EACH ROW WHEN (${when}) EXECUTE FUNCTION move()`,
  ]

  test.for([
    ['to a place before the cursor', 'old.id = 3', '-3', 50],
    ['to a place among the rows of its window', 'old.id = 6', '7', 50],
    ['to a place behind its window', 'old.id = 800', '4001', 1000],
  ] as const)('%s', async ([, when, to, batchSize]) => {
    const { client, database } = await openItems(
      count,
      table,
      'INSERT INTO items SELECT 2 * n FROM generate_series(1, 1000) n',
      'INSERT INTO items VALUES (3)',
      ...moving(when, to),
    )
    const id = await client.start('job', { options: { batchSize, parallelism: 1 } })
    const run = await client.reaches(id, ['failed'])
    expect(run.reason).toContain(`Changing a row has moved its key, which is ["${to}"] now`)
    expect(await database.value(`SELECT count(*)::int FROM items WHERE id = ${to}`)).toBe(0)
    expect(await database.value('SELECT max(touched) <= 1 FROM items')).toBe(true)
  })

  test('also of a row that was held when its window was passed', async () => {
    const { client, database } = await openItems(
      count,
      table,
      'INSERT INTO items SELECT generate_series(1, 10)',
      ...moving('old.id = 5', '4001'),
    )
    const holder = await database.session()
    await holder.query('BEGIN; SELECT FROM items WHERE id = 5 FOR UPDATE')
    const id = await client.start('job')
    await untilDone(database, 8)
    await holder.query('ROLLBACK')
    const run = await client.reaches(id, ['failed'])
    expect(run.reason).toContain('moved its key, which is ["4001"] now')
    expect(await database.value('SELECT touched FROM items WHERE id = 5')).toBe(0)
  })
})

once('a key that is not what it was when the run was accepted ends the run', () => {
  test.for([
    [
      'another collation',
      "(k text COLLATE \"C\" PRIMARY KEY, touched int NOT NULL DEFAULT 0); INSERT INTO items SELECT CASE n % 2 WHEN 0 THEN 'a' ELSE 'B' END || n FROM generate_series(1, 1000) n",
      'ALTER TABLE items ALTER k TYPE text COLLATE "en-x-icu"',
    ],
    [
      'another type',
      "(k date PRIMARY KEY, touched int NOT NULL DEFAULT 0); INSERT INTO items SELECT '2020-01-01'::date + n FROM generate_series(1, 1000) n",
      'ALTER TABLE items ALTER k TYPE timestamp',
    ],
    [
      'fewer digits',
      '(k numeric(8, 2) PRIMARY KEY, touched int NOT NULL DEFAULT 0); INSERT INTO items SELECT n + 0.4 FROM generate_series(1, 1000) n',
      'ALTER TABLE items ALTER k TYPE numeric(8, 0)',
    ],
    [
      'another column under its name',
      '(k int PRIMARY KEY, other int NOT NULL UNIQUE, touched int NOT NULL DEFAULT 0); INSERT INTO items SELECT n, -n FROM generate_series(1, 1000) n',
      'ALTER TABLE items RENAME k TO was; ALTER TABLE items RENAME other TO k',
    ],
  ] as const)('%s', async ([, columns, change]) => {
    const items = await openItems(count, `CREATE TABLE items ${columns}`)
    const id = await startSlowly(items)
    await items.database.query(change)
    const run = await items.client.reaches(id, ['failed'])
    expect(run.reason).toContain('Key column k of "public"."items" is not what it was when this run was accepted')
    expect(await items.database.value('SELECT max(touched) FROM items')).toBe(1)
  })

  test.for([
    ['int', 'n', 'bigint', 'numeric', 'bigint'],
    ['varchar(20)', "'k' || n", 'varchar(40)', 'text', 'varchar'],
  ] as const)('and not where its values keep their order: %s', async ([type, value, ...types]) => {
    const items = await openItems(
      count,
      `CREATE TABLE items (k ${type} PRIMARY KEY, touched int NOT NULL DEFAULT 0)`,
      `INSERT INTO items SELECT ${value} FROM generate_series(1, 1000) n`,
    )
    const id = await startSlowly(items)
    for (const [index, next] of types.entries()) {
      await items.database.query(`ALTER TABLE items ALTER k TYPE ${next}`)
      await untilDone(items.database, 150 + 100 * index)
    }
    await items.database.query('REINDEX TABLE CONCURRENTLY items')
    await items.client.call('PATCH', `/runs/${id}`, { maxRowsPerSecond: null })
    const run = await items.client.reaches(id, ['succeeded'])
    expect(run.proof).toMatchObject({ rowsDone: 1000, rowsScanned: 1000 })
    expect(await items.database.query('SELECT DISTINCT touched FROM items')).toEqual([{ touched: 1 }])
  })
})

once('an inheritance child that comes under a run', () => {
  test('is left alone, and ends the run', async () => {
    const items = await openItems(
      count,
      'CREATE TABLE items (id int PRIMARY KEY, touched int NOT NULL DEFAULT 0)',
      'INSERT INTO items SELECT generate_series(1, 1000)',
      'CREATE TABLE child (id int PRIMARY KEY, touched int NOT NULL DEFAULT 0)',
      'INSERT INTO child SELECT generate_series(1, 1000)',
    )
    const id = await startSlowly(items)
    await items.database.query('ALTER TABLE child INHERIT items')
    const run = await items.client.reaches(id, ['failed'])
    expect(run.reason).toContain('has an inheritance child since this run was accepted')
    expect(await items.database.value('SELECT sum(touched)::int FROM child')).toBe(0)
    expect(await items.database.value('SELECT max(touched) FROM ONLY items')).toBe(1)
  })
})

once('an index of the key that is dropped under a run', () => {
  test('makes the run wait, with the reason and what to do, until there is one again', async () => {
    const items = await openItems(
      `key: ['code'], ${touch}`,
      'CREATE TABLE items (id int PRIMARY KEY, code int NOT NULL, touched int NOT NULL DEFAULT 0)',
      'CREATE UNIQUE INDEX items_code ON items (code)',
      'INSERT INTO items SELECT n, n * 7 FROM generate_series(1, 1000) n',
    )
    const id = await startSlowly(items)
    await items.database.query('DROP INDEX items_code')
    await items.database.query('CREATE INDEX items_code ON items (code)')
    const { throttle, status } = await until(
      'the run to say that it waits for the index',
      () => items.client.run(id),
      (run) => run.throttle?.signal === 'no-index',
    )
    expect(status).toBe('running')
    expect(throttle?.reason).toContain('CREATE UNIQUE INDEX CONCURRENTLY ON "public"."items" (code)')
    const done = await countDone(items.database)
    expect(done).toBeLessThan(1000)
    await items.database.query('CREATE UNIQUE INDEX ON items (code DESC)')
    await items.client.call('PATCH', `/runs/${id}`, { maxRowsPerSecond: null })
    await items.client.reaches(id, ['succeeded'])
    expect(await items.database.query('SELECT DISTINCT touched FROM items')).toEqual([{ touched: 1 }])
  })
})

once('a key whose order is that of a locale', () => {
  const english =
    release >= 17
      ? "colllocale = 'en'"
      : release >= 15
        ? "colliculocale = 'en'"
        : "collcollate = 'en', collctype = 'en'"
  const swedish = [
    "CREATE COLLATION swedish (provider = icu, locale = 'sv')",
    'CREATE TABLE items (k text COLLATE swedish PRIMARY KEY, touched int NOT NULL DEFAULT 0)',
    "INSERT INTO items SELECT CASE WHEN n % 300 = 0 THEN 'å' || n ELSE 'k' || lpad(n::text, 6, '0') END FROM generate_series(1, 3000) n",
  ]
  /** What an upgrade of the system does: å comes last in Swedish, and behind a in English. */
  const changed = `UPDATE pg_collation SET ${english} WHERE collname = 'swedish'; ALTER COLLATION swedish REFRESH VERSION`
  const recorded = "UPDATE pg_collation SET collversion = '1.0' WHERE collname = 'swedish'"

  test.for([
    ['touch', touch],
    ['count', count],
  ] as const)('is refused where Postgres knows that the order has changed: %s', async ([, rest]) => {
    const { client } = await openItems(rest, ...swedish, changed, recorded)
    const detail = await refused(client)
    expect(detail).toContain('Key column k has a collation of version 1.0')
    expect(detail).toContain('REINDEX TABLE CONCURRENTLY items, then ALTER COLLATION public.swedish REFRESH VERSION')
  })

  test.for([
    ['touch', touch],
    ['count', count],
  ] as const)('is refused where the index is out of order and nothing records it: %s', async ([, rest]) => {
    const { client, database } = await openItems(rest, ...swedish, changed)
    expect(await refused(client)).toContain('its index is out of order')
    // A session keeps the collations that it has used.
    await (await database.session()).query('REINDEX TABLE items')
    await client.reaches(await client.start('job'), ['succeeded'])
    expect(await database.query('SELECT DISTINCT touched FROM items')).toEqual([{ touched: 1 }])
  })

  test('that changes under a run ends it', async () => {
    const items = await openItems(count, ...swedish)
    const id = await startSlowly(items)
    await items.database.query(changed)
    const run = await items.client.reaches(id, ['failed'])
    expect(run.reason).toContain('is not what it was when this run was accepted')
  })
})

once('figures that contradict each other are no success', () => {
  test.for([
    ['more rows are done than windows passed', 'rows_done = rows_done + 1'],
    ['windows passed no row', 'rows_scanned = 0'],
  ])('also with a predicate: %s', async ([, tampered]) => {
    const items = await openItems(
      touch,
      'CREATE TABLE items (id int PRIMARY KEY, touched int NOT NULL DEFAULT 0)',
      'INSERT INTO items SELECT generate_series(1, 1000)',
    )
    const id = await startSlowly(items)
    await items.client.call('POST', `/runs/${id}/pause`, {})
    await items.database.query(`UPDATE evenkeel.ranges SET ${tampered} WHERE run_id = $1 AND phase = 'keys'`, [id])
    await items.client.call('PATCH', `/runs/${id}`, { maxRowsPerSecond: null })
    await items.client.call('POST', `/runs/${id}/resume`, {})
    const run = await items.client.reaches(id, ['failed'])
    expect(run.reason).toContain('The counts do not add up')
  })

  test('and rows that only the checks have found are none', async () => {
    const items = await openItems(
      touch,
      'CREATE TABLE items (id int PRIMARY KEY, touched int NOT NULL DEFAULT 0)',
      'INSERT INTO items SELECT generate_series(1, 1000)',
    )
    const id = await startSlowly(items)
    await items.database.query('INSERT INTO items SELECT generate_series(2001, 4000)')
    await items.client.call('PATCH', `/runs/${id}`, { maxRowsPerSecond: null })
    const run = await items.client.reaches(id, ['succeeded'])
    expect(run.proof).toMatchObject({ rowsDone: 3000, rowsScanned: 1000, residual: 0 })
  })
})
