import { expect, test } from 'vitest'
import { bodyOf } from '../../src/client/client.ts'
import type { QuarantinedRow, Range } from '../../src/client/openapi.ts'
import { createDatabase, type TestDatabase } from '../support/database.ts'
import { createItems } from '../support/items.ts'
import { type Client, jobSource, jobsFolder, patient, queueKind, startInProcess, unpaced } from '../support/service.ts'
import { perCommit } from '../support/tier.ts'
import { timings } from '../support/timings.ts'
import { until } from '../support/until.ts'

async function quarantineOf(client: Client, id: string): Promise<QuarantinedRow[]> {
  const rows: QuarantinedRow[] = []
  for (let after = '0'; ; ) {
    const params = { path: { id }, query: { after, limit: 300 } }
    const body = await bodyOf(client.api.GET('/runs/{id}/quarantine', { params }))
    rows.push(...body.rows)
    if (body.next === null) return rows
    after = body.next
  }
}

const keys = (rows: readonly QuarantinedRow[]) => rows.map((row) => Number(row.key[0])).sort((a, b) => a - b)
const every = (step: number, rows: number) => Array.from({ length: rows / step }, (_, index) => (index + 1) * step)

/** Rows whose id is a multiple of `bad.step` cannot be changed. */
async function createPoisoned(rows: number, step: number, options: Record<string, unknown> = {}) {
  const database = await createDatabase()
  const jobs = await createItems(database, rows)
  await database.query('CREATE TABLE bad (step int)')
  await database.query('INSERT INTO bad VALUES ($1)', [step])
  await database.query(`CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      IF NEW.id % (SELECT step FROM bad) = 0 THEN RAISE EXCEPTION 'row % is bad', NEW.id USING ERRCODE = '22000'; END IF;
      RETURN NEW;
    END $$`)
  await database.query('CREATE TRIGGER refuse BEFORE UPDATE ON items FOR EACH ROW EXECUTE FUNCTION refuse()')
  const client = await startInProcess(database, jobs)
  const start = (job: string) => client.start(job, { options })
  return { database, client, start }
}

const mend = (database: TestDatabase) => database.query('UPDATE bad SET step = 1000000')

async function expectDone(database: TestDatabase, rows: number, bad: readonly number[]): Promise<void> {
  const [counts] = await database.query<{ once: number; never: number[] | null }>(
    `SELECT count(*) FILTER (WHERE touched = 1)::int AS once, array_agg(id::int ORDER BY id) FILTER (WHERE touched <> 1) AS never FROM items`,
  )
  expect(counts).toEqual({ once: rows - bad.length, never: bad.length === 0 ? null : bad })
}

// What it costs has nothing to do with the queue.
test.runIf(queueKind === 'postgres')(
  'bad rows here and there in a large table: all others are done, these are set aside, and cost about twelve statements each',
  async () => {
    const bad = perCommit(100, { nightly: 1000 })
    const rows = 200 * bad
    const database = await createDatabase()
    const client = await startInProcess(database, await createItems(database, rows), patient)
    await database.query('ALTER TABLE items ADD CONSTRAINT sound CHECK (touched = 0 OR id % 200 > 0)')
    const id = await client.start('touch', { options: { maxQuarantined: bad, batchSize: 2000 } })
    const run = await client.reaches(id, ['failed'])
    expect(run.reason).toContain(`Every other row is done and checked, but ${bad} rows`)
    expect(run.progress).toMatchObject({ rowsDone: rows - bad, rowsScanned: rows, quarantined: bad })
    await expectDone(database, rows, every(200, rows))

    const aside = await quarantineOf(client, id)
    expect(keys(aside)).toEqual(every(200, rows))
    const message = 'new row for relation "items" violates check constraint "sound"'
    for (const row of aside) expect(row).toMatchObject({ sqlstate: '23514', message, attempts: 1 })

    const ranges = (await client.ranges(id)).filter(({ phase }) => phase === 'keys')
    const sum = (of: (range: Range) => number) => ranges.reduce((total, range) => total + of(range), 0)
    const statements = sum(({ batches }) => batches) + sum(({ faults }) => faults.data ?? 0)
    expect(statements).toBeLessThan(bad * 16)
    expect(sum(({ rowsScanned }) => rowsScanned)).toBe(rows)
  },
)

// Nor have these.
test.runIf(queueKind === 'postgres').for([
  ['one after the other', 'id BETWEEN 2001 AND 2100'],
  ['far apart', 'id % 40 = 0 AND id <= 4000'],
] as const)('a hundred bad rows that are %s cost the same in a small table and in a large one', async ([how, bad]) => {
  const [most, batchSize] = [100, 500]
  const costs: number[] = []
  for (const rows of [5000, perCommit(20_000, { nightly: 50_000 })]) {
    const database = await createDatabase()
    const client = await startInProcess(database, await createItems(database, rows), patient)
    await database.query(`ALTER TABLE items ADD CONSTRAINT sound CHECK (touched = 0 OR NOT (${bad}))`)
    const id = await client.start('count', { options: { maxQuarantined: most, batchSize } })
    const run = await client.reaches(id, ['failed'])
    expect(run.progress).toMatchObject({ rowsDone: rows - most, rowsScanned: rows, quarantined: most })
    const found = await database.query<{ id: number }>(`SELECT id::int FROM items WHERE ${bad} ORDER BY id`)
    const expected = found.map((row) => row.id)
    await expectDone(database, rows, expected)
    expect(keys(await quarantineOf(client, id))).toEqual(expected)
    const ranges = (await client.ranges(id)).filter(({ phase }) => phase === 'keys')
    const statements = ranges.reduce((sum, { batches, faults }) => sum + batches + (faults.data ?? 0), 0)
    // Without the windows that it takes anyway.
    costs.push(statements - rows / batchSize)
    await client.service.close()
  }
  console.log(`statements for ${most} bad rows ${how}, in the small and in the large table: ${costs.join(' and ')}`)
  for (const cost of costs) expect(cost, String(costs)).toBeLessThan(most * (how === 'far apart' ? 10 : 5))
})

test('one more than maxQuarantined stops the run at that row; with a higher one it goes on from there', async () => {
  const { client, start } = await createPoisoned(2000, 500, { maxQuarantined: 2, batchSize: 100, parallelism: 1 })
  const id = await start('count')
  const run = await client.reaches(id, ['failed'])
  expect(run.reason).toMatch(/The row with key \["\d+"\] fails by itself: row \d+ is bad \[22000\]; and 2 others/)
  expect(run.progress.quarantined).toBe(2)
  await client.call('PATCH', `/runs/${id}`, { maxQuarantined: 3, succeedWithQuarantined: true })
  await client.call('POST', `/runs/${id}/retry`)
  expect((await client.reaches(id, ['failed'])).reason).toContain('3 others')
  await client.call('PATCH', `/runs/${id}`, { maxQuarantined: 4 })
  await client.call('POST', `/runs/${id}/retry`)
  const ended = await client.reaches(id, ['succeeded'])
  expect(ended.reason).toContain(
    '4 rows that fail by themselves are in quarantine, which succeedWithQuarantined allows',
  )
  expect(ended.proof).toMatchObject({ rowsDone: 1996, rowsScanned: 2000, quarantined: 4, discarded: 0 })
})

test('with maxQuarantined 0 the first bad row stops the run, and is named', async () => {
  const { client, start } = await createPoisoned(2000, 700, { maxQuarantined: 0, parallelism: 1 })
  const id = await start('touch')
  const run = await client.reaches(id, ['failed'])
  expect(run.reason).toContain(
    'The row with key ["700"] fails by itself: row 700 is bad [22000]; and maxQuarantined is 0.',
  )
  expect(await quarantineOf(client, id)).toEqual([])
  const events = await client.events(id)
  expect(events.find(({ kind }) => kind === 'fail')?.detail).toMatchObject({ key: ['700'], sqlstate: '22000' })
})

test('rows are retried all or some, given up with a reason, and then the run succeeds and says so', async () => {
  const { database, client, start } = await createPoisoned(2000, 500, { batchSize: 300 })
  const id = await start('count')
  await client.reaches(id, ['failed'])
  const [first, second] = await quarantineOf(client, id)

  // Still bad: it comes back, with one more attempt.
  const again = await client.call<{ retried: number }>('POST', `/runs/${id}/quarantine/retry`, { ids: [first?.id] })
  expect([again.status, again.body.retried]).toEqual([200, 1])
  await client.reaches(id, ['failed'])
  const back = (await quarantineOf(client, id)).find(({ key }) => key[0] === first?.key[0])
  expect(back?.attempts).toBe(2)

  const unreasoned = await client.call('POST', `/runs/${id}/quarantine/discard`, { ids: [second?.id] })
  expect(unreasoned.status).toBe(400)
  const given = await client.call<{ discarded: number }>('POST', `/runs/${id}/quarantine/discard`, {
    ids: [second?.id],
    reason: 'a test account',
  })
  expect([given.status, given.body.discarded]).toEqual([200, 1])
  await mend(database)
  const all = await client.call<{ retried: number }>('POST', `/runs/${id}/quarantine/retry`)
  expect([all.status, all.body.retried]).toEqual([200, 3])
  const run = await client.reaches(id, ['succeeded'])
  expect(run.proof).toMatchObject({ rowsDone: 1999, rowsScanned: 2000, quarantined: 0, discarded: 1 })
  await expectDone(database, 2000, [Number(second?.key[0])])
  expect(await quarantineOf(client, id)).toMatchObject([
    { key: second?.key, discarded: { by: 'local', reason: 'a test account' } },
  ])
  const events = await client.events(id)
  const kinds = events.map(({ kind }) => kind)
  expect(kinds.filter((kind) => kind.startsWith('quarantine'))).toEqual([
    'quarantine-retried',
    'quarantine-discarded',
    'quarantine-retried',
  ])

  const late = await client.call<{ detail: string }>('POST', `/runs/${id}/quarantine/retry`)
  expect([late.status, late.body.detail]).toEqual([
    409,
    expect.stringContaining(`Cannot retry rows of run ${id}: it has ended (succeeded).`),
  ])
  const none = await client.call<{ detail: string }>('POST', `/runs/${id}/quarantine/discard`, { reason: 'none left' })
  expect([none.status, none.body.detail]).toEqual([404, expect.stringContaining('has no row in quarantine')])
})

test('a row that somebody holds and that then turns out to be bad goes from the stragglers into quarantine', async () => {
  const { database, client, start } = await createPoisoned(1000, 500, { batchSize: 100 })
  const holder = await database.session()
  await holder.query('BEGIN')
  await holder.query('SELECT FROM items WHERE id IN (499, 500, 501) FOR UPDATE')
  const id = await start('touch')
  await until(
    'the three to be stragglers',
    () => client.run(id),
    ({ progress }) => progress.stragglers === 3 && progress.quarantined === 1,
  )
  await holder.query('COMMIT')
  // The check does not take what is in quarantine for rows that were left out.
  expect((await client.reaches(id, ['failed'])).reason).toContain('Every other row is done and checked, but 2 rows')
  const aside = await quarantineOf(client, id)
  expect(keys(aside)).toEqual([500, 1000])
  expect(aside.map(({ attempts }) => attempts)).toEqual([1, 1])
  await expectDone(database, 1000, [500, 1000])
})

test('a predicate that fails on a row sets it aside as well, in the check too', async () => {
  const database = await createDatabase()
  await database.query('CREATE TABLE texts (id int PRIMARY KEY, raw text NOT NULL, number int)')
  await database.query(
    "INSERT INTO texts SELECT n, CASE WHEN n IN (7, 450) THEN 'x' ELSE n::text END FROM generate_series(1, 500) n",
  )
  const jobs = await jobsFolder({
    'numbers.ts': jobSource({
      name: 'numbers',
      table: 'texts',
      rest: 'where: sql`raw::int > 0 AND number IS NULL`, set: { number: sql`raw::int` }',
    }),
  })
  const client = await startInProcess(database, jobs)
  const id = await client.start('numbers', { options: { succeedWithQuarantined: true, batchSize: 50 } })
  const run = await client.reaches(id, ['succeeded'])
  expect(run.proof).toMatchObject({ rowsDone: 498, rowsScanned: 500, rowsChecked: 500, quarantined: 2, residual: 0 })
  const aside = await quarantineOf(client, id)
  expect(keys(aside)).toEqual([7, 450])
  // Once in the windows, once in the check.
  expect(aside.map(({ sqlstate, attempts }) => [sqlstate, attempts])).toEqual([
    ['22P02', 2],
    ['22P02', 2],
  ])
})

test('a constraint that is checked at commit, and one that two rows of a batch break together, find their rows', async () => {
  const database = await createDatabase()
  await database.query('CREATE TABLE owners (id int PRIMARY KEY)')
  await database.query('INSERT INTO owners SELECT generate_series(1, 99)')
  await database.query(
    'CREATE TABLE things (id int PRIMARY KEY, owner int REFERENCES owners DEFERRABLE INITIALLY DEFERRED, slug text UNIQUE)',
  )
  await database.query('INSERT INTO things (id) SELECT generate_series(1, 100)')
  const rest = (set: string) =>
    `set: { ${set} }, options: ${JSON.stringify({ ...unpaced, succeedWithQuarantined: true, parallelism: 1 })}`
  const jobs = await jobsFolder({
    'owner.ts': jobSource({ name: 'owner', table: 'things', rest: rest('owner: sql`id`') }),
    'slug.ts': jobSource({ name: 'slug', table: 'things', rest: rest('slug: sql`(id % 98)::text`') }),
  })
  const client = await startInProcess(database, jobs)
  const owner = await client.start('owner')
  expect((await client.reaches(owner, ['succeeded'])).proof).toMatchObject({ rowsDone: 99, quarantined: 1 })
  expect(await quarantineOf(client, owner)).toMatchObject([{ key: ['100'], sqlstate: '23503' }])
  const slug = await client.start('slug')
  expect((await client.reaches(slug, ['succeeded'])).proof).toMatchObject({ rowsDone: 98, quarantined: 2 })
  const aside = await quarantineOf(client, slug)
  expect(aside).toMatchObject([
    { key: ['99'], sqlstate: '23505', message: expect.stringContaining('Key (slug)=(1) already exists.') },
    { key: ['100'], sqlstate: '23505' },
  ])
})

test('a row that is mended while it is looked for is done, not set aside', async () => {
  const { database, client, start } = await createPoisoned(1000, 400, { batchSize: 256, parallelism: 1 })
  await database.query(`CREATE FUNCTION mend_on_insert() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      IF NEW.key = ARRAY['400'] THEN RETURN NULL; END IF;
      RETURN NEW;
    END $$`)
  // As if another row stood there by now: nothing is set aside, and the row is looked at anew.
  await database.query(
    'CREATE TRIGGER mend BEFORE INSERT ON evenkeel.quarantine FOR EACH ROW EXECUTE FUNCTION mend_on_insert()',
  )
  const id = await start('count')
  await until(
    'the row to be met several times',
    () => client.ranges(id),
    (ranges) => ranges.some(({ faults }) => (faults.data ?? 0) > 30),
  )
  await mend(database)
  await client.reaches(id, ['succeeded'])
  expect(await quarantineOf(client, id)).toEqual([])
  await expectDone(database, 1000, [])
})

test('windows that take long to fail do not cost the lease: the row is found all the same', async () => {
  const { database, client, start } = await createPoisoned(19, 10, { batchSize: 400, parallelism: 1 })
  // Two windows that have the row in them take longer to fail than a lease lasts.
  const seconds = 0.08 * timings.leaseSeconds
  await database.query(`CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      IF NEW.id < 10 THEN PERFORM pg_sleep(${seconds}); END IF;
      RETURN NEW;
    END $$`)
  await database.query('CREATE TRIGGER a_slow BEFORE UPDATE ON items FOR EACH ROW EXECUTE FUNCTION slow()')
  const id = await start('count')
  let overdue = 0
  await until(
    'the run to end',
    async () => {
      const seconds = await database.value<number>(
        "SELECT coalesce(max(extract(epoch FROM clock_timestamp() - lease_until)), 0)::float8 FROM evenkeel.ranges WHERE phase = 'keys'",
      )
      overdue = Math.max(overdue, seconds)
      return client.run(id)
    },
    ({ status }) => status === 'failed',
  )
  // Whoever finds the row free between two of its windows must not take it for one whose worker is gone.
  expect(overdue).toBeLessThan(1)
  expect(keys(await quarantineOf(client, id))).toEqual([10])
  await expectDone(database, 19, [10])
})
