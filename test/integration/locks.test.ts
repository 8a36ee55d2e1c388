import { expect, test } from 'vitest'
import { createDatabase, type TestDatabase } from '../support/database.ts'
import { type Client, jobSource, jobsFolder, startInProcess } from '../support/service.ts'
import { until } from '../support/until.ts'

/** Orders that get the customer whose number they carry: order i belongs to customer 1 + i % customers. */
async function createOrders(orders: number, customers: number) {
  const database = await createDatabase()
  await database.query('CREATE TABLE customers (id int PRIMARY KEY)')
  await database.query('INSERT INTO customers SELECT generate_series(1, $1::int)', [customers])
  await database.query(
    'CREATE TABLE orders (id int PRIMARY KEY, legacy int, customer_id int REFERENCES customers, touched int NOT NULL DEFAULT 0)',
  )
  await database.query('INSERT INTO orders SELECT i, 1 + i % $2::int FROM generate_series(1, $1::int) i', [
    orders,
    customers,
  ])
  await database.query('ANALYZE orders')
  const jobs = await jobsFolder({
    'fill.ts': jobSource({
      name: 'fill',
      table: 'orders',
      rest: 'where: sql`customer_id IS NULL`, set: { customer_id: sql`legacy`, touched: sql`touched + 1` }',
    }),
  })
  return { database, client: await startInProcess(database, jobs) }
}

const countTouched = (database: TestDatabase, table: string) =>
  database.value<number>(`SELECT count(*)::int FROM ${table} WHERE touched > 0`)

async function hold(
  database: TestDatabase,
  statement: string,
): Promise<{ pid: number; letGo: () => Promise<unknown> }> {
  const session = await database.session()
  await session.query("SET application_name = 'night report'")
  await session.query('BEGIN')
  await session.query(statement)
  const { rows } = await session.query<{ pid: number }>('SELECT pg_backend_pid() AS pid')
  return { pid: rows[0]?.pid as number, letGo: () => session.query('COMMIT') }
}

/** What the run says of rows that wait, once all others are done. */
async function reasonOf(client: Client, id: string, words: RegExp): Promise<string> {
  const run = await until(
    `the reason to be ${words}`,
    () => client.run(id),
    ({ reason }) => words.test(reason ?? ''),
    30,
  )
  expect(run.status).toBe('running')
  return run.reason as string
}

async function expectOnce(database: TestDatabase, table: string, rows: number): Promise<void> {
  const counts = await database.query(`SELECT touched, count(*)::int AS rows FROM ${table} GROUP BY touched`)
  expect(counts).toEqual([{ touched: 1, rows }])
}

test('a parent row that is held in another table holds up its own children alone, and is named', async () => {
  const { database, client } = await createOrders(5000, 100)
  const { pid, letGo } = await hold(database, 'SELECT FROM customers WHERE id = 51 FOR UPDATE')
  const id = await client.start('fill')
  await until(
    'all other orders to be done',
    () => countTouched(database, 'orders'),
    (done) => done === 4950,
  )
  const reason = await reasonOf(client, id, /night report/)
  expect(reason).toMatch(
    /^50 rows are held by other sessions since \S+, or need a lock that they hold; each is tried again/,
  )
  expect(reason).toMatch(
    /For instance key \["\d*50"\] waits while locking tuple \(\d+,\d+\) in relation "customers"; held by pid \d+ \(night report\), in a transaction since 2\d{3}-\S+Z\.$/,
  )
  expect(reason).toContain(`pid ${pid} `)
  expect((await client.run(id)).progress).toMatchObject({ rowsDone: 4950, stragglers: 50, quarantined: 0 })
  await letGo()
  await client.reaches(id, ['succeeded'])
  await expectOnce(database, 'orders', 5000)
})

test('with a tenth of all parents held every other row is done meanwhile, at a cost that the held rows have alone', async () => {
  const { database, client } = await createOrders(2000, 200)
  const { letGo } = await hold(database, 'SELECT FROM customers WHERE id BETWEEN 101 AND 120 FOR UPDATE')
  const id = await client.start('fill')
  expect(await reasonOf(client, id, /night report/)).toMatch(/^200 rows are held/)
  expect(await countTouched(database, 'orders')).toBe(1800)
  const ranges = await client.ranges(id)
  const waited = ranges
    .filter(({ phase }) => phase === 'keys')
    .reduce((sum, { faults }) => sum + (faults['lock-timeout'] ?? 0), 0)
  // A row is found by less than three tries, each of which waits for a hundredth of a second.
  expect(waited).toBeLessThan(3 * 200)
  await letGo()
  await client.reaches(id, ['succeeded'])
  await expectOnce(database, 'orders', 2000)
})

test('a unique value that an open transaction has inserted holds up the row that gets it alone', async () => {
  const database = await createDatabase()
  await database.query('CREATE TABLE users (id int PRIMARY KEY, email text UNIQUE, touched int NOT NULL DEFAULT 0)')
  await database.query('INSERT INTO users SELECT generate_series(1, 1000)')
  const jobs = await jobsFolder({
    'emails.ts': jobSource({
      name: 'emails',
      table: 'users',
      rest: "where: sql`email IS NULL`, set: { email: sql`'u' || id`, touched: sql`touched + 1` }",
    }),
  })
  const client = await startInProcess(database, jobs)
  const { pid, letGo } = await hold(database, "INSERT INTO users VALUES (5000, 'u500', 1)")
  const id = await client.start('emails')
  const reason = await reasonOf(client, id, /night report/)
  expect(reason).toContain('For instance key ["500"] waits while inserting index tuple')
  expect(reason).toContain(`in relation "users_email_key"; held by pid ${pid} (night report)`)
  expect(await countTouched(database, 'users')).toBe(999)
  await letGo()
  const run = await client.reaches(id, ['failed'])
  expect(run.reason).toContain('1 row that fails by itself is in quarantine')
})

test('a counter that a trigger keeps holds up the rows that it counts alone, and the range where it counts all', async () => {
  const database = await createDatabase()
  await database.query('CREATE TABLE counters (kind int PRIMARY KEY, n int NOT NULL DEFAULT 0)')
  await database.query('INSERT INTO counters SELECT generate_series(0, 9)')
  await database.query('CREATE TABLE items (id int PRIMARY KEY, kind int, touched int NOT NULL DEFAULT 0)')
  await database.query(
    'INSERT INTO items SELECT i, CASE WHEN i % 50 = 0 THEN 1 ELSE 0 END FROM generate_series(1, 1000) i',
  )
  await database.query(`CREATE FUNCTION counted() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN UPDATE counters SET n = n + 1 WHERE kind = NEW.kind; RETURN NULL; END $$`)
  await database.query('CREATE TRIGGER counted AFTER UPDATE ON items FOR EACH ROW EXECUTE FUNCTION counted()')
  const jobs = await jobsFolder({
    'count.ts': jobSource({ name: 'count', table: 'items', rest: 'set: { touched: sql`touched + 1` }' }),
  })
  const client = await startInProcess(database, jobs)
  const few = await hold(database, 'UPDATE counters SET n = n WHERE kind = 1')
  const id = await client.start('count', { options: { parallelism: 1 } })
  expect(await reasonOf(client, id, /night report/)).toMatch(/^20 rows are held .* in relation "counters"; held by pid/)
  expect(await countTouched(database, 'items')).toBe(980)
  await few.letGo()
  await client.reaches(id, ['succeeded'])
  await expectOnce(database, 'items', 1000)

  const all = await hold(database, 'UPDATE counters SET n = n')
  const again = await client.start('count', { again: true, options: { parallelism: 1 } })
  const waiting = await until(
    'the range to wait',
    () => client.run(again),
    ({ throttle }) => throttle?.signal === 'lock-timeout',
    30,
  )
  expect(waiting.throttle?.reason).toMatch(/in relation "counters"; held by pid \d+ \(night report\)/)
  expect(waiting.progress.stragglers).toBeLessThan(200)
  await all.letGo()
  await client.reaches(again, ['succeeded'])
  expect(await database.value('SELECT sum(touched)::int FROM items')).toBe(2000)
})

test('a row that is held on the table itself, by several sessions, is told with one of them', async () => {
  const { database, client } = await createOrders(200, 100)
  const { letGo, pid } = await hold(database, 'SELECT FROM orders WHERE id = 7 FOR SHARE')
  const second = await hold(database, 'SELECT FROM orders WHERE id = 7 FOR SHARE')
  const id = await client.start('fill')
  const reason = await reasonOf(client, id, /held by pid/)
  expect(reason).toContain('For instance key ["7"] waits while locking tuple')
  expect(reason).toContain('in relation "orders"')
  expect([pid, second.pid].some((each) => reason.includes(`pid ${each} (night report)`))).toBe(true)
  await second.letGo()
  await letGo()
  await client.reaches(id, ['succeeded'])
})

test('a unique index that comes while a run lasts makes rows with a foreign key on them stragglers at once', async () => {
  const database = await createDatabase()
  await database.query('CREATE TABLE users (id int PRIMARY KEY, email text, touched int NOT NULL DEFAULT 0)')
  await database.query('INSERT INTO users SELECT generate_series(1, 1000)')
  const jobs = await jobsFolder({
    'emails.ts': jobSource({
      name: 'emails',
      table: 'users',
      rest: "where: sql`email IS NULL`, set: { email: sql`'u' || id`, touched: sql`touched + 1` }",
    }),
  })
  const client = await startInProcess(database, jobs)
  await client.call('POST', '/pause')
  const id = await client.start('emails')
  await database.query('CREATE UNIQUE INDEX CONCURRENTLY users_email ON users (email)')
  const { letGo } = await hold(database, 'SELECT FROM users WHERE id % 10 = 0 FOR KEY SHARE')
  await client.call('POST', '/resume')
  expect(await reasonOf(client, id, /night report/)).toMatch(/^100 rows are held/)
  expect(await countTouched(database, 'users')).toBe(900)
  const ranges = await client.ranges(id)
  expect(ranges.map(({ faults }) => faults['lock-timeout'] ?? 0).filter((count) => count > 0)).toEqual([])
  await letGo()
  await client.reaches(id, ['succeeded'])
  await expectOnce(database, 'users', 1000)
})
