import { describe, expect, test } from 'vitest'
import type { DryRun } from '../../src/client/openapi.ts'
import { createDatabase, type TestDatabase } from '../support/database.ts'
import { createRole } from '../support/role.ts'
import { type Client, jobSource, jobsFolder, queueKind, startInProcess } from '../support/service.ts'

// Nothing here depends on the queue: once is enough.
const inDatabase = describe.skipIf(queueKind === 'redis')

const people = 'CREATE TABLE people (id int PRIMARY KEY, first text, last text, label text, touched int DEFAULT 0)'
const filled = (rows: number, label = 'NULL') =>
  `INSERT INTO people SELECT n, 'A' || n, 'B' || n, ${label} FROM generate_series(1, ${rows}) n`

/** A service on a table of people, and a job on it whose `where` and `set` are given as source. */
async function scene(rest: string, ddl: readonly string[], extra: Readonly<Record<string, string>> = {}) {
  const database = await createDatabase()
  for (const statement of [people, ...ddl]) await database.query(statement)
  await database.query('ANALYZE')
  const jobs = await jobsFolder({ 'fill.ts': jobSource({ name: 'fill', table: 'people', rest }) })
  return { database, client: await startInProcess(database, jobs, extra) }
}

async function dryRun(client: Client, rest: object = {}): Promise<DryRun> {
  const { status, body } = await client.call<DryRun>('POST', '/runs', { job: 'fill', dryRun: true, ...rest })
  expect(status, JSON.stringify(body)).toBe(200)
  return body
}

async function expectUntouched(database: TestDatabase): Promise<void> {
  expect(await database.value('SELECT count(*)::int FROM people WHERE touched > 0')).toBe(0)
  for (const table of ['runs', 'ranges', 'quarantine', 'stragglers'])
    expect(await database.value(`SELECT count(*)::int FROM evenkeel.${table}`), table).toBe(0)
}

inDatabase('a dry run says what a run will', () => {
  test.for([
    ['the tenth row', 10, 5000],
    ['one in the middle of the table', 2010, 5000],
  ])('of a row that still matches: %s', async ([, id, rows]) => {
    const { database, client } = await scene(
      "where: sql`label IS NULL`, set: { label: sql`first || ' ' || last`, touched: sql`1` }",
      [filled(rows as number), `UPDATE people SET last = NULL WHERE id = ${id}`],
    )
    const { wouldFail, warnings } = await dryRun(client)
    expect(wouldFail).toContain(`such as the row with key ["${id}"]`)
    expect(warnings).toContain(wouldFail)
    await expectUntouched(database)
    const { reason } = await client.reaches(await client.start('fill'), ['failed'])
    expect(reason).toContain(wouldFail)
  })

  test.for([
    ['the table with its schema', 'public.people.touched = 0'],
    ['its system columns', "people.xmin IS NOT NULL AND people.tableoid = 'people'::regclass AND people.touched = 0"],
    ['a column of the whole row', 'people IS NOT NULL AND (people).touched = 0 OR people.touched = 0'],
  ])('of a predicate that names %s', async ([, where]) => {
    const { client } = await scene(`where: sql\`${where}\`, set: { touched: sql\`1\` }`, [filled(100, "'x'")])
    expect(await dryRun(client)).toMatchObject({ rowsMatched: 100, rowsChanged: 100, wouldFail: null })
    await client.reaches(await client.start('fill'), ['succeeded'])
  })

  test('of constraints that wait for the commit, with the keys', async () => {
    const { client } = await scene('where: sql`touched = 0`, set: { touched: sql`1` }', [
      filled(300),
      `CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
         $$ BEGIN IF new.id IN (7, 200) THEN RAISE 'not this one'; END IF; RETURN NULL; END $$`,
      'CREATE CONSTRAINT TRIGGER late AFTER UPDATE ON people DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refuse()',
    ])
    const { failing, space } = await dryRun(client)
    expect(failing).toEqual([{ sqlstate: 'P0001', message: 'not this one', rows: 2, keys: [['7'], ['200']] }])
    expect(space?.findings.join()).toContain('Constraint trigger late (refuse()) of public.people runs at the commit')
  })

  test('of a foreign key that waits for the commit', async () => {
    const { client } = await scene('where: sql`label IS NULL`, set: { label: sql`first` }', [
      filled(100),
      'CREATE TABLE labels (label text PRIMARY KEY)',
      "INSERT INTO labels SELECT 'A' || n FROM generate_series(1, 99) n",
      'ALTER TABLE people ADD FOREIGN KEY (label) REFERENCES labels DEFERRABLE INITIALLY DEFERRED',
    ])
    const { failing } = await dryRun(client)
    expect(failing).toMatchObject([{ sqlstate: '23503', rows: 1, keys: [['100']] }])
  })

  test('of replicas that would refuse a start, and of sessions that it may not see', async () => {
    const { database, client } = await scene(
      "options: {}, where: sql`label IS NULL`, set: { label: sql`'x'` }",
      [filled(10)],
      { REPLICAS: 'standby_1' },
    )
    const { refusals, warnings } = await dryRun(client)
    expect(refusals).toEqual([expect.stringContaining('Standby standby_1 should be streaming from this primary')])
    expect(warnings.join()).toContain(`A start would be refused now: ${refusals[0]}`)
    expect(warnings.join()).not.toContain('pg_monitor')
    const started = await client.call<{ detail: string }>('POST', '/runs', { job: 'fill' })
    expect(started.body.detail).toContain(refusals[0])

    const { name: role, url } = await createRole(database, 'SELECT, UPDATE', 'people')
    const source = jobSource({ name: 'fill', table: 'people', paced: true, rest: "set: { label: sql`'x'` }" })
    const theirs = await startInProcess({ url }, await jobsFolder({ 'fill.ts': source }), { CONTROL_SCHEMA: 'theirs' })
    expect((await dryRun(theirs)).warnings.join()).toContain(`GRANT pg_monitor TO "${role}"`)
  })
})

inDatabase('a dry run rehearses where rows match', () => {
  test.for([
    { where: 'at the end', rows: 5000 },
    { where: 'in the middle', rows: 40_000 },
  ])('$where of the table, and tells the row there that fails by itself', async ({ rows }) => {
    const { database, client } = await scene(
      'where: sql`label IS NULL`, set: { label: sql`(1 / (id - 4995))::text`, touched: sql`1` }',
      [filled(rows, "CASE WHEN n NOT BETWEEN 4991 AND 5000 THEN 'done' END")],
    )
    const { rowsMatched, rowsChanged, failing, samples, wouldFail } = await dryRun(client)
    expect({ rowsMatched, rowsChanged }).toEqual({ rowsMatched: 10, rowsChanged: 9 })
    expect(failing).toEqual([{ sqlstate: '22012', message: 'division by zero', rows: 1, keys: [['4995']] }])
    expect(wouldFail).toContain('A row fails by itself, the one with key ["4995"]: division by zero [22012].')
    expect(samples).toHaveLength(5)
    await expectUntouched(database)
  })

  test('where the last partition alone has such rows', async () => {
    const database = await createDatabase()
    await database.query('CREATE TABLE people (id int PRIMARY KEY, label text) PARTITION BY RANGE (id)')
    for (const part of [0, 1, 2])
      await database.query(
        `CREATE TABLE people_${part} PARTITION OF people FOR VALUES FROM (${part * 1000}) TO (${part * 1000 + 1000})`,
      )
    await database.query(
      "INSERT INTO people SELECT n, CASE WHEN n < 2900 THEN 'done' END FROM generate_series(1, 2999) n",
    )
    const source = jobSource({
      name: 'fill',
      table: 'people',
      rest: "where: sql`label IS NULL`, set: { label: sql`'x'` }",
    })
    const client = await startInProcess(database, await jobsFolder({ 'fill.ts': source }))
    expect(await dryRun(client)).toMatchObject({ rowsMatched: 100, rowsChanged: 100 })
  })

  test('and counts rows that fail by what Postgres says, up to as many as a run would set aside', async () => {
    const { client } = await scene(
      "where: sql`label IS NULL`, set: { label: sql`CASE WHEN id % 100 = 7 THEN (1 / (id % 100 - 7))::text WHEN id % 300 = 1 THEN ('x' || id)::int::text ELSE 'ok' END` }",
      [filled(900)],
    )
    const { failing, rowsChanged } = await dryRun(client)
    expect(failing[0]).toMatchObject({ sqlstate: '22012', rows: 9 })
    expect(failing[0]?.keys).toContainEqual(['107'])
    expect(failing.slice(1).map(({ sqlstate, rows }) => [sqlstate, rows])).toEqual([
      ['22P02', 1],
      ['22P02', 1],
      ['22P02', 1],
    ])
    expect(rowsChanged).toBe(888)
    const strict = await dryRun(client, { options: { maxQuarantined: 3 } })
    expect(strict.wouldFail).toContain('maxQuarantined allows 3')
    const { wouldFail } = await dryRun(client, { options: { succeedWithQuarantined: true } })
    expect(wouldFail).toBeNull()
  })

  test('says that no row matches, and finds rows that the predicate itself fails for', async () => {
    const none = await scene("where: sql`label = 'nowhere'`, set: { label: sql`'x'` }", [filled(3000)])
    expect((await dryRun(none.client)).warnings).toEqual([
      'No row of the table matches where: a run would change none.',
    ])
    const fails = await scene("where: sql`label IS NULL AND 1 / (id - 300) = 2`, set: { label: sql`'x'` }", [
      filled(900),
    ])
    const { failing, warnings } = await dryRun(fails.client)
    expect(failing).toEqual([{ sqlstate: '22012', message: 'division by zero', rows: 1, keys: [['300']] }])
    expect(warnings.join()).toContain('Could not search the whole table for matching rows: division by zero')
  })

  test('and keeps the locks of one window at a time', { tags: 'nightly' }, async () => {
    // A row that matches in each of many windows, and takes a while.
    const { database, client } = await scene(
      "where: sql`label IS NULL`, set: { label: sql`'x' || pg_sleep(0.2)::text` }",
      [filled(20_000, "CASE WHEN n % 1000 <> 1 THEN 'done' END")],
    )
    let ended = false
    const rehearsed = dryRun(client).finally(() => {
      ended = true
    })
    const matching = Array.from({ length: 20 }, (_, index) => 1000 * index + 1)
    let mostLocked = 0
    while (!ended) {
      const free = await database.query('SELECT FROM people WHERE id = ANY($1) FOR SHARE SKIP LOCKED', [matching])
      mostLocked = Math.max(mostLocked, matching.length - free.length)
      // Seldom: a row that this has locked for a moment is left by the dry run.
      await new Promise((resolve) => setTimeout(resolve, 150))
    }
    const { rowsChanged } = await rehearsed
    expect(rowsChanged).toBeGreaterThan(3)
    // If no window were taken back before the next one, all rows that were changed would be locked in the end.
    expect(mostLocked).toBeLessThan(rowsChanged / 2)
  })
})

inDatabase('a dry run tells', () => {
  test('what each batch costs before its first row, and no more once batches are large', async () => {
    const { client } = await scene(
      'where: sql`label IS NULL`, set: { label: sql`(SELECT count(*) FROM banned WHERE slow())::text` }, options: { batchSize: 50 }',
      [
        filled(3000),
        'CREATE TABLE banned (id int)',
        'INSERT INTO banned VALUES (1)',
        `CREATE FUNCTION slow() RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.1); RETURN true; END $$`,
      ],
    )
    const { space, estimate } = await dryRun(client)
    expect(space?.findings[0]).toMatch(
      /^Each batch costs about 0\.1\d? s before its first row: a subquery reads public\.banned again for each batch\. In batches of 50 rows/,
    )
    expect(estimate.batchSeconds).toBeGreaterThan(0.1)
    expect(estimate.seconds).toBeGreaterThanOrEqual(6)
    const larger = await dryRun(client, { options: { batchSize: 100_000, targetBatchSeconds: 5 } })
    expect(larger.estimate.seconds).toBeLessThan(estimate.seconds as number)
  })

  test('long values cut, and the plan only where it is asked for', async () => {
    const { client } = await scene("set: { label: sql`repeat('ä', 3000)` }", [filled(100)])
    const report = await dryRun(client)
    expect(report.samples[0]?.after).toMatchObject({ label: `${'ä'.repeat(200)}… (3000 characters)` })
    expect(report).not.toHaveProperty('plan')
    expect(JSON.stringify(report).length).toBeLessThan(5000)
    expect(JSON.stringify((await dryRun(client, { plan: true })).plan)).toContain('Index Scan')
    const { status, body } = await client.call<{ detail: string }>('POST', '/runs', { job: 'fill', plan: true })
    expect(status).toBe(400)
    expect(body.detail).toContain('is part of a dry run')
  })
})
