import { randomBytes } from 'node:crypto'
import { describe, expect, onTestFinished, test } from 'vitest'
import type { DryRun } from '../../src/client/openapi.ts'
import type { SpaceReport } from '../../src/runs/space.ts'
import { createDatabase, type TestDatabase } from '../support/database.ts'
import { release } from '../support/postgres.ts'
import { type Client, jobSource, jobsFolder, queueKind, startInProcess } from '../support/service.ts'

// Nothing here depends on the queue: once is enough.
const inDatabase = describe.skipIf(queueKind === 'redis')

const fill = jobSource({
  name: 'fill',
  table: 'orders',
  rest: "where: sql`label IS NULL`, set: { label: sql`'order number ' || id` }",
})

/** A table of orders without a label, that nobody vacuums but the test; and a service on it. */
async function shop({ rows = 2000, storage = '', ddl = [] as readonly string[], job = fill } = {}) {
  const database = await createDatabase()
  await database.query(
    `CREATE TABLE orders (id int PRIMARY KEY, customer text NOT NULL, note text, label text, price int)
     WITH (autovacuum_enabled = off${storage})`,
  )
  await database.query(
    "INSERT INTO orders SELECT n, md5(n::text), 'a note', NULL, n % 100 FROM generate_series(1, $1) n",
    [rows],
  )
  for (const statement of ddl) await database.query(statement)
  await database.query('VACUUM ANALYZE orders')
  return { database, client: await startInProcess(database, await jobsFolder({ 'fill.ts': job })) }
}

async function dryRun(client: Client, rest: object = {}): Promise<SpaceReport> {
  const { status, body } = await client.call<DryRun>('POST', '/runs', { job: 'fill', dryRun: true, ...rest })
  expect(status, JSON.stringify(body)).toBe(200)
  return body.space as SpaceReport
}

async function sizes(database: TestDatabase) {
  const [row] = await database.query<{ table: number; indexes: number }>(
    "SELECT pg_relation_size('orders')::int AS table, pg_indexes_size('orders')::int AS indexes",
  )
  return row as { table: number; indexes: number }
}

/** What a run of all rows, that nobody vacuums, makes the table and its indexes grow by. */
async function growthByRun(database: TestDatabase, client: Client) {
  // What the dry run has left.
  await database.query('VACUUM orders')
  const before = await sizes(database)
  const id = await client.start('fill', { options: { batchSize: 1000 } })
  await client.reaches(id, ['succeeded'])
  const after = await sizes(database)
  return { id, table: after.table - before.table, indexes: after.indexes - before.indexes }
}

function expectNear(value: number, expected: number, within = 0.15) {
  expect(value).toBeGreaterThan(expected * (1 - within))
  expect(value).toBeLessThan(expected * (1 + within))
}

inDatabase('the forecast', () => {
  test('of what table and indexes grow by is what a run makes them grow by', async () => {
    const { database, client } = await shop({
      rows: 60_000,
      ddl: ['CREATE INDEX ON orders (customer)', 'CREATE INDEX ON orders (price)'],
    })
    const before = await sizes(database)
    const space = await dryRun(client)
    expect(space).toMatchObject({ rowsToChange: 60_000, hotMeasured: true, withVacuum: null, findings: [] })
    expect([space.tableBytes, space.indexBytes]).toEqual([before.table, before.indexes])
    expect(space.hotShare).toBeLessThan(0.05)
    expect(space.newRowBytes - space.rowBytes).toBeGreaterThanOrEqual(16)
    expect(space.summary).toMatch(
      /^public\.orders has 4\.6 MB; about 60,000 of its rows are changed, \d % of them by a HOT update \(as seen in the dry run\)\. Without vacuum in between it grows by about 6 MB, its 3 indexes by about 5\.\d MB\.$/,
    )

    const grown = await growthByRun(database, client)
    expectNear(grown.table, space.withoutVacuum.tableBytes)
    expectNear(grown.indexes, space.withoutVacuum.indexBytes)
    const events = await client.events(grown.id)
    const [created] = events
    expect(created).toMatchObject({ kind: 'created', detail: { findings: [] } })
    expect(created?.detail.space).toMatch(/^public\.orders has 4\.\d MB; .* \(worked out from its pages\)\. Without/)
  })

  test('knows that updates stay on pages that have room', async () => {
    const { database, client } = await shop({
      rows: 20_000,
      storage: ', fillfactor = 40',
      ddl: ['CREATE INDEX ON orders (customer)'],
    })
    const space = await dryRun(client)
    expect(space.hotShare).toBeGreaterThan(0.9)
    const grown = await growthByRun(database, client)
    expect(grown.table).toBeLessThan(0.1 * space.tableBytes)
    expect(space.withoutVacuum.tableBytes).toBeLessThan(0.1 * space.tableBytes)
    expect(grown.indexes).toBeLessThan(0.2 * space.indexBytes)
    expect(space.withoutVacuum.indexBytes).toBeLessThan(0.2 * space.indexBytes)
  })

  test('counts only the rows that match', async () => {
    const { database, client } = await shop({ rows: 20_000 })
    await database.query("UPDATE orders SET label = 'there' WHERE id % 10 <> 0")
    await database.query('VACUUM ANALYZE orders')
    const { rowsToChange } = await dryRun(client)
    expectNear(rowsToChange, 2000)
    await database.query("UPDATE orders SET label = 'there'")
    await database.query('DELETE FROM orders WHERE id > 2000')
    await database.query('VACUUM FULL ANALYZE orders')
    const nothing = await dryRun(client)
    // None, or a few where the statistics still count more rows than the pages hold: few is not taken for none.
    expect(nothing.rowsToChange).toBeLessThan(10)
    expect(nothing.findings).toEqual([])
    expect(nothing.withoutVacuum.tableBytes).toBeLessThanOrEqual(8192)
  })

  test('counts what is too long for a page', async () => {
    const { client } = await shop({
      job: jobSource({
        name: 'fill',
        table: 'orders',
        rest: 'where: sql`label IS NULL`, set: { label: sql`repeat(customer, 100)` }',
      }),
    })
    const { withoutVacuum, newRowBytes } = await dryRun(client)
    expect(withoutVacuum.tableBytes).toBeGreaterThan(2000 * 3200)
    expect(newRowBytes).toBeLessThan(200)
  })

  test('looks at expressions that write without letting them', async () => {
    const { database, client } = await shop({
      ddl: ['CREATE SEQUENCE labels'],
      job: jobSource({
        name: 'fill',
        table: 'orders',
        rest: "where: sql`label IS NULL`, set: { label: sql`nextval('labels')` }, options: { maxRowsPerSecond: 0.1, batchSize: 1 }",
      }),
    })
    const id = await client.start('fill')
    const { body } = await client.call<{ events: Array<{ detail: { space?: string } }> }>('GET', `/runs/${id}/events`)
    expect(body.events[0]?.detail.space).toContain('about 2,000 of its rows are changed')
    await client.reaches(id, ['running'])
    await client.call('POST', `/runs/${id}/cancel`)
    expect(await database.value<number>('SELECT last_value::int FROM labels')).toBeLessThan(100)
  })

  test('needs no more rights than a run does', async () => {
    const { database, client: owner } = await shop()
    const role = `role_${randomBytes(6).toString('hex')}`
    await database.query(`CREATE ROLE ${role} LOGIN PASSWORD 'secret'`)
    onTestFinished(async () => {
      await database.query(`DROP OWNED BY ${role} CASCADE`)
      await database.query(`DROP ROLE ${role}`)
    })
    await database.query(`GRANT CREATE ON DATABASE ${database.name} TO ${role}`)
    await database.query(`GRANT SELECT, UPDATE (label) ON orders TO ${role}`)
    const url = Object.assign(new URL(database.url), { username: role, password: 'secret' }).href
    const jobs = await jobsFolder({ 'fill.ts': fill })
    const client = await startInProcess({ url }, jobs, { CONTROL_SCHEMA: 'theirs' })
    const { summary } = await dryRun(client)
    expect(summary).toMatch(/^public\.orders has \d+ kB; about 2,000 of its rows are changed/)
    expect((await dryRun(owner)).indexes).toEqual((await dryRun(client)).indexes)
  })

  test('adds partitions together, and their indexes by name', async () => {
    const database = await createDatabase()
    await database.query('CREATE TABLE orders (id int PRIMARY KEY, note text, label text) PARTITION BY RANGE (id)')
    for (const part of [0, 1]) {
      await database.query(
        `CREATE TABLE orders_${part} PARTITION OF orders FOR VALUES FROM (${part * 1000 + 1}) TO (${part * 1000 + 1001})`,
      )
    }
    await database.query('CREATE INDEX orders_label ON orders (label)')
    await database.query("INSERT INTO orders SELECT n, 'a note' FROM generate_series(1, 2000) n")
    await database.query('ANALYZE orders')
    const client = await startInProcess(database, await jobsFolder({ 'fill.ts': fill }))
    const bytes = await database.value<number>(
      "SELECT (pg_relation_size('orders_0') + pg_relation_size('orders_1'))::int",
    )
    const space = await dryRun(client)
    expect(space).toMatchObject({ rowsToChange: 2000, hotShare: 0 })
    expect(space.indexes.map(({ name }) => name).sort()).toEqual(['public.orders_label', 'public.orders_pkey'])
    expect(space.tableBytes).toBe(bytes)
    expect(space.findings[0]).toContain('DROP INDEX public.orders_label before')
  })
})

inDatabase('what is found', () => {
  const found = async (ddl: readonly string[], options: { job?: string } = {}) => {
    const { client } = await shop({ ddl, ...options })
    const { findings, hotShare } = await dryRun(client)
    return { findings: findings.join('\n'), hotShare }
  }

  test.each([
    ['the key', 'CREATE INDEX slow ON orders (price, label)', /^Index public\.slow \(\d+ kB\) is on label, which set/],
    ['what it includes', 'CREATE INDEX slow ON orders (price) INCLUDE (label)', /^Index public\.slow .* is on label/],
    ['uniqueness', 'CREATE UNIQUE INDEX slow ON orders (label)', /^Unique index public\.slow .* is on label/],
    [
      'an expression',
      'CREATE INDEX slow ON orders (lower(label))',
      /^Index public\.slow .* has label in an expression/,
    ],
    [
      'the predicate',
      'CREATE INDEX slow ON orders (id) WHERE label IS NULL',
      /^Index public\.slow .* has label, which set writes, in the predicate \(WHERE \(label IS NULL\)\): .* does not need it/,
    ],
    [
      'a generated column',
      'CREATE INDEX slow ON orders (search)',
      /^Index public\.slow .* is on search, which set writes/,
    ],
  ])('an index with the column in %s keeps every update from being HOT', async (_where, index, words) => {
    const column = "ALTER TABLE orders ADD search text GENERATED ALWAYS AS (coalesce(label, '') || note) STORED"
    const room = 'ALTER TABLE orders SET (fillfactor = 30)'
    const { findings, hotShare } = await found([room, 'VACUUM FULL orders', column, index])
    expect(hotShare).toBe(0)
    expect(findings).toMatch(words)
    expect(findings).toContain('DROP INDEX CONCURRENTLY public.slow before the backfill')
  })

  test('an index that sums pages up does not, nor one on other columns', async () => {
    const room = ['ALTER TABLE orders SET (fillfactor = 30)', 'VACUUM FULL orders']
    const { findings, hotShare } = await found([
      ...room,
      ...(release < 16 ? [] : ['CREATE INDEX ON orders USING brin (label)']),
      'CREATE INDEX ON orders (price) WHERE note IS NULL',
      'CREATE INDEX ON orders (lower(customer))',
    ])
    expect(hotShare).toBeGreaterThan(0.9)
    expect(findings).not.toContain('Index')
  })

  test.runIf(release < 16)('an index that sums pages up does so before Postgres 16', async () => {
    const room = 'ALTER TABLE orders SET (fillfactor = 30)'
    const { findings, hotShare } = await found([
      room,
      'VACUUM FULL orders',
      'CREATE INDEX slow ON orders USING brin (label)',
    ])
    expect(hotShare).toBe(0)
    expect(findings).toMatch(/^Index public\.slow /)
  })

  test('a constraint is dropped as one', async () => {
    const { findings } = await found(['ALTER TABLE orders ADD UNIQUE (label)'])
    expect(findings).toMatch(/^Unique index public\.orders_label_key .* drop the constraint of public\.orders/)
  })

  test('many indexes, slow ones, and those of no use are named', async () => {
    const { findings } = await found([
      'CREATE INDEX many_1 ON orders (price)',
      'CREATE INDEX many_2 ON orders (customer)',
      "CREATE INDEX slow ON orders USING gin (to_tsvector('simple', customer))",
      'CREATE INDEX broken ON orders (note)',
      "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'broken'::regclass",
    ])
    expect(findings).toMatch(
      /not HOT, and each of them makes a new entry in each of 5 indexes: public\.\w+ \(\d+ kB\), /,
    )
    expect(findings).toContain('Index public.slow is a gin index')
    expect(findings).toContain('Index public.broken is not valid')
  })

  test('row triggers that fire and foreign keys that are looked up are named', async () => {
    const trigger = (name: string, event: string, each = 'ROW') =>
      `CREATE TRIGGER ${name} BEFORE ${event} ON orders FOR EACH ${each} EXECUTE FUNCTION keep()`
    const { findings } = await found([
      'CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$',
      trigger('any_update', 'UPDATE'),
      trigger('of_label', 'UPDATE OF label'),
      trigger('of_price', 'UPDATE OF price'),
      trigger('of_insert', 'INSERT'),
      trigger('once', 'UPDATE', 'STATEMENT'),
      trigger('switched_off', 'UPDATE'),
      'ALTER TABLE orders DISABLE TRIGGER switched_off',
      'CREATE TABLE labels (label text PRIMARY KEY)',
      "INSERT INTO labels SELECT 'order number ' || n FROM generate_series(1, 2000) n",
      'ALTER TABLE orders ADD CONSTRAINT known FOREIGN KEY (label) REFERENCES labels',
    ])
    expect(findings).toContain('Row triggers any_update (keep()) and of_label (keep()) of public.orders fire')
    expect(findings).toContain(
      'Foreign key known is over a column that set writes: each row looks up a row of public.labels',
    )
    expect(findings).toContain('Statement trigger once (keep()) of public.orders fires with each batch, about 1 in all')
    expect(findings).not.toMatch(/of_price|of_insert|switched_off/)
  })

  test('a trigger that does not fire for evenkeel, or for none of the rows, is none', async () => {
    const trigger = (name: string, each: string, when: string) =>
      `CREATE TRIGGER ${name} AFTER UPDATE ON orders FOR EACH ${each} WHEN (${when}) EXECUTE FUNCTION keep()`
    const advised = "current_setting('application_name') <> 'evenkeel engine'"
    const { client } = await shop({
      ddl: [
        'CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$',
        trigger('advised', 'ROW', advised),
        trigger('advised_once', 'STATEMENT', advised),
        trigger('rarely', 'ROW', 'new.price = 1000'),
        trigger('always', 'ROW', 'new.label IS DISTINCT FROM old.label'),
      ],
    })
    const { findings } = await dryRun(client)
    expect(findings.join()).toContain('Row trigger always (keep(), where its WHEN holds) of public.orders fires')
    expect(findings.join()).not.toMatch(/advised|rarely/)
    const id = await client.start('fill')
    const { body } = await client.call<{ events: Array<{ detail: { findings: string[] } }> }>(
      'GET',
      `/runs/${id}/events`,
    )
    expect(body.events[0]?.detail.findings.join()).toContain('always')
    expect(body.events[0]?.detail.findings.join()).not.toContain('advised')
  })

  test('of partitions each row is told the indexes of its own', async () => {
    const database = await createDatabase()
    await database.query('CREATE TABLE orders (id int PRIMARY KEY, price int, label text) PARTITION BY RANGE (id)')
    for (const part of [0, 1, 2]) {
      await database.query(
        `CREATE TABLE orders_${part} PARTITION OF orders FOR VALUES FROM (${part * 1000}) TO (${part * 1000 + 1000}) WITH (fillfactor = 40)`,
      )
      for (const n of [1, 2, 3]) await database.query(`CREATE INDEX ON orders_${part} ((price + ${n}))`)
    }
    await database.query('CREATE INDEX only_here ON orders_1 (label)')
    await database.query('INSERT INTO orders SELECT n, n FROM generate_series(0, 2999) n')
    await database.query('ANALYZE orders')
    const client = await startInProcess(database, await jobsFolder({ 'fill.ts': fill }))
    const { findings, hotShare } = await dryRun(client)
    expect(findings.join('\n')).toContain(
      'is on label, which set writes: no update of its partition can be HOT, and each makes a new entry in each of the 5 indexes.',
    )
    expect(findings.join('\n')).toContain('a new entry in each of the indexes of its partition, 5 at most: ')
    expect(hotShare).toBeGreaterThan(0.4)
    expect(hotShare).toBeLessThan(0.9)
  })
})
