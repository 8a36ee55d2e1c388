import type { PoolClient } from 'pg'
import { describe, expect, onTestFinished, test } from 'vitest'
import type { DryRun, Range } from '../../src/client/openapi.ts'
import { engineSettings } from '../../src/engine/batch/session.ts'
import { type TableSql, tableSql } from '../../src/engine/batch/table.ts'
import { inspectTarget } from '../../src/engine/inspect/inspect.ts'
import { resolveJob } from '../../src/engine/kinds/resolve.ts'
import { findSplitKeys, keysAhead } from '../../src/engine/ranges/boundaries.ts'
import { defineJob, sql } from '../../src/index.ts'
import { createPool } from '../../src/postgres/pool.ts'
import { createControl } from '../../src/store/control.ts'
import { type Lease, leaseRange } from '../../src/store/leases.ts'
import { splitLease } from '../../src/store/rescue.ts'
import { migrate } from '../../src/store/schema/migrate.ts'
import { createDatabase, createEmptyDatabase, type TestDatabase } from '../support/database.ts'
import { Gate } from '../support/gate.ts'
import { createItems, expectTouchedOnce, untilDone } from '../support/items.ts'
import { type Client, jobSource, jobsFolder, queueKind, startInProcess } from '../support/service.ts'
import { until } from '../support/until.ts'

/** A table of this definition, and a session of the engine to cut it in. */
async function openTable(...ddl: string[]): Promise<{ client: PoolClient; table: TableSql; database: TestDatabase }> {
  const database = await createDatabase()
  const pool = createPool(database.url, { name: 'evenkeel engine', max: 1, settings: engineSettings })
  const control = createControl(pool, 'evenkeel')
  await migrate(control)
  for (const statement of ddl) await database.query(statement)
  const client = await pool.connect()
  onTestFinished(async () => {
    client.release()
    await pool.end()
  })
  const job = resolveJob(defineJob({ name: 'label', table: 'things', set: { label: sql`'x'` } }), {})
  return { client, database, table: tableSql(await inspectTarget(client, control.s, job)) }
}

const whole = { lower: null, upper: null }

/** How many rows lie between the keys, from the first to the last. */
async function partsOf(database: TestDatabase, key: string, ends: ReadonlyArray<readonly string[]>): Promise<number[]> {
  const rows = await database.query<{ count: number }>(
    `SELECT count(t.*)::int AS count FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS part (above, upto, n)
     LEFT JOIN things t ON (above IS NULL OR t.${key}::text::numeric > above::numeric) AND (upto IS NULL OR t.${key}::text::numeric <= upto::numeric)
     GROUP BY n ORDER BY n`,
    [
      [null, ...ends.map(([end]) => end)],
      [...ends.map(([end]) => end), null],
    ],
  )
  return rows.map(({ count }) => count)
}

describe.runIf(queueKind === 'postgres')('a slice of the key space is cut into parts of about the same size', () => {
  // Crowded at the beginning, with a gap of a billion in the middle.
  const skewed = [
    'CREATE TABLE things (id bigint PRIMARY KEY, label text)',
    'INSERT INTO things SELECT n * n FROM generate_series(1, 20000) n',
    'INSERT INTO things SELECT 1000000000000 + n FROM generate_series(1, 20000) n',
  ]

  test('by the histogram, where there is one', async () => {
    const { client, table, database } = await openTable(...skewed)
    await database.query('ANALYZE things')
    // The table is empty but for its statistics: only they can tell.
    await database.query('CREATE TABLE copy AS TABLE things')
    await database.query('ALTER TABLE things SET (autovacuum_enabled = off)')
    await database.query('DELETE FROM things')
    const keys = await findSplitKeys(client, table, whole, 8)
    await database.query('INSERT INTO things TABLE copy')
    const parts = await partsOf(database, 'id', keys)
    expect(parts).toHaveLength(8)
    expect(Math.min(...parts)).toBeGreaterThan(3500)
    expect(Math.max(...parts)).toBeLessThan(6500)
  })

  test('by a sample, where there is none', async () => {
    const { client, table, database } = await openTable(...skewed)
    const keys = await findSplitKeys(client, table, whole, 8)
    const parts = await partsOf(database, 'id', keys)
    expect(parts).toHaveLength(8)
    expect(Math.min(...parts)).toBeGreaterThan(2000)
    expect(Math.max(...parts)).toBeLessThan(8000)
  })

  test('of several columns and of text, whose order is that of the column', async () => {
    const { client, table, database } = await openTable(
      'CREATE TABLE things (region text COLLATE "C", id bigint, label text, PRIMARY KEY (region, id))',
      "INSERT INTO things SELECT (ARRAY['B', 'a', 'Z'])[1 + n % 3], n FROM generate_series(1, 18000) n",
      'ANALYZE things',
    )
    const keys = await findSplitKeys(client, table, whole, 3)
    expect(keys.map(([region]) => region)).toEqual(['B', 'Z'])
    const inside = await findSplitKeys(client, table, { lower: ['Z', '0'], upper: null }, 2)
    expect(inside.map(([region]) => region)).toEqual(['Z'])
    const rest = 'SELECT count(*)::int FROM things WHERE (region, id) > ($1, $2)'
    expect(await database.value(rest, inside[0])).toBe(6000)
  })

  test('only inside the slice', async () => {
    const { client, table, database } = await openTable(...skewed)
    for (const analysed of [false, true]) {
      if (analysed) await database.query('ANALYZE things')
      const slice = { lower: ['1000000005000'], upper: ['1000000015000'] }
      const keys = await findSplitKeys(client, table, slice, 2)
      expect(keys).toHaveLength(1)
      expect(Number(keys[0]?.[0])).toSatisfy((key: number) => key > 1_000_000_008_000 && key < 1_000_000_012_000)
    }
  })

  test('not at all where nothing tells how', async () => {
    const { client, table } = await openTable('CREATE TABLE things (id bigint PRIMARY KEY, label text)')
    expect(await findSplitKeys(client, table, whole, 8)).toEqual([])
    expect(await findSplitKeys(client, table, whole, 1)).toEqual([])
  })

  test('the key so many rows ahead is found, or that there are not so many', async () => {
    const { client, table } = await openTable(...skewed)
    expect(await keysAhead(client, table, { lower: ['4'], upper: null }, 1)).toEqual([['9']])
    expect(await keysAhead(client, table, { lower: ['4'], upper: ['100'] }, 7)).toEqual([['81']])
    expect(await keysAhead(client, table, { lower: ['4'], upper: ['100'] }, 8)).toEqual([])
    expect(await keysAhead(client, table, { lower: ['4'], upper: ['100'] }, 3, 5)).toEqual([['25'], ['64']])
    expect(await keysAhead(client, table, { lower: null, upper: null }, 40_000)).toEqual([['1000000020000']])
    expect(await keysAhead(client, table, { lower: null, upper: null }, 40_001)).toEqual([])
  })
})

async function rangesOf(client: Client, id: string, phase = 'keys'): Promise<Range[]> {
  const ranges = await client.ranges(id)
  return ranges.filter((range) => range.phase === phase)
}

describe('ranges are split where workers would be idle', () => {
  test.for(['touch', 'count'])('%s: a range that has all the work is shared, and each row done once', async (job) => {
    const rows = 40_000
    const database = await createDatabase()
    const client = await startInProcess(database, await createItems(database, rows))
    const id = await client.start(job, { options: { parallelism: 1, maxRowsPerSecond: 4000 } })
    const planned = (await rangesOf(client, id)).length
    expect(planned).toBe(2)
    await untilDone(database, 0)
    await client.call('PATCH', `/runs/${id}`, { parallelism: 4 })
    await until(
      'four workers to be at it',
      () => rangesOf(client, id),
      (ranges) => ranges.filter(({ leaseOwner }) => leaseOwner !== null).length === 4,
    )
    await client.call('PATCH', `/runs/${id}`, { maxRowsPerSecond: null })
    const run = await client.reaches(id, ['succeeded'])
    expect(run.proof).toMatchObject({ rowsDone: rows, rowsScanned: rows, rowsChecked: rows })
    await expectTouchedOnce(database, rows)

    const ranges = await rangesOf(client, id)
    expect(ranges.length).toBeGreaterThan(planned)
    const bounds = ranges.map(({ lower, upper }) => [Number(lower?.[0] ?? 0), Number(upper?.[0])] as const)
    bounds.sort(([a], [b]) => a - b)
    expect(bounds.map(([lower]) => lower)).toEqual([0, ...bounds.map(([, upper]) => upper).slice(0, -1)])
    expect(bounds.at(-1)?.[1]).toBe(rows)
  })

  test('only by whoever holds the range, from where it stands, to the end that it knows', async () => {
    const database = await createDatabase()
    const client = await startInProcess(database, await createItems(database, 1000), { ROLE: 'api' })
    const id = await client.start('count')
    const control = createControl(database.pool, 'evenkeel')
    const ticket = { runId: id, ordinal: 0, id: '' }
    ticket.id = await database.value('SELECT ticket FROM evenkeel.ranges WHERE ordinal = 0')
    const lease = (await leaseRange(control, ticket, 'test', 60)) as Lease
    await database.query("UPDATE evenkeel.ranges SET cursor = '{500}' WHERE ordinal = 0")
    const now = { ...lease, cursor: ['500'] }
    const before = await rangesOf(client, id)
    for (const stale of [
      { epoch: '0' },
      { epoch: String(Number(lease.epoch) + 1) },
      { cursor: ['400'] },
      { cursor: null },
      { upper: ['900'] },
      { upper: null },
      { ordinal: 1 },
    ]) {
      expect(await splitLease(control, { ...now, ...stale }, [['700']], 50), JSON.stringify(stale)).toBe(false)
    }
    expect(await rangesOf(client, id)).toEqual(before)
    await database.query('UPDATE evenkeel.ranges SET done = true WHERE ordinal = 0')
    expect(await splitLease(control, now, [['700']], 50)).toBe(false)
    await database.query('UPDATE evenkeel.ranges SET done = false WHERE ordinal = 0')

    expect(await splitLease(control, now, [['700'], ['800']], 50)).toBe(true)
    const bounds = (await rangesOf(client, id)).map(({ lower, upper, cursor }) => [lower, cursor, upper])
    expect(bounds).toEqual([
      [null, ['500'], ['700']],
      [['700'], ['700'], ['800']],
      [['800'], ['800'], ['1000']],
    ])
  })

  test('one worker alone splits nothing', async () => {
    const database = await createDatabase()
    const client = await startInProcess(database, await createItems(database, 20_000))
    const id = await client.start('touch', { options: { parallelism: 1 } })
    await client.reaches(id, ['succeeded'])
    expect(await rangesOf(client, id)).toHaveLength(2)
  })
})

test('a table that is put in the place of another, between two batches, is left alone', async () => {
  const database = await createDatabase()
  const jobs = await createItems(database, 5000)
  await database.query('CREATE TABLE items_next (LIKE items INCLUDING ALL)')
  await database.query('INSERT INTO items_next SELECT * FROM items')
  const client = await startInProcess(database, jobs)
  const id = await client.start('count', { options: { batchSize: 10, maxRowsPerSecond: 500, parallelism: 1 } })
  await untilDone(database, 0)
  const session = await database.session()
  await session.query('BEGIN; ALTER TABLE items RENAME TO items_before; ALTER TABLE items_next RENAME TO items; COMMIT')
  const run = await client.reaches(id, ['failed'])
  expect(run.reason).toContain('not the table that this run was accepted for')
  expect(await database.value('SELECT sum(touched)::int FROM items')).toBe(0)
})

describe('partitions', () => {
  const job = { name: 'touch', table: 'items', rest: 'where: sql`touched = 0`, set: { touched: sql`touched + 1` }' }

  /** Ten thousand rows in `old`, ten in `small`, none in `next`. */
  async function createPartitioned(create = createDatabase): Promise<{ database: TestDatabase; jobs: string }> {
    const database = await create()
    await database.query(
      'CREATE TABLE items (id bigint PRIMARY KEY, touched int NOT NULL DEFAULT 0) PARTITION BY RANGE (id)',
    )
    await database.query('CREATE TABLE "Old ""1""" PARTITION OF items FOR VALUES FROM (1) TO (10001)')
    await database.query('CREATE TABLE small PARTITION OF items FOR VALUES FROM (10001) TO (10011)')
    await database.query('CREATE TABLE next PARTITION OF items FOR VALUES FROM (10011) TO (20000)')
    await database.query('INSERT INTO items SELECT generate_series(1, 10010)')
    await database.query('ANALYZE items')
    return { database, jobs: await jobsFolder({ 'touch.ts': jobSource(job) }) }
  }

  test('have ranges of their own, and the proof counts all of them', async () => {
    const { database, jobs } = await createPartitioned()
    const client = await startInProcess(database, jobs)
    const id = await client.start('touch')
    const run = await client.reaches(id, ['succeeded'])
    expect(run.proof).toMatchObject({ rowsDone: 10_010, rowsScanned: 10_010, rowsChecked: 10_010, residual: 0 })
    await expectTouchedOnce(database, 10_010)
    const found = (await rangesOf(client, id)).map(({ partition, rowsScanned }) => [partition, rowsScanned])
    expect(found).toContainEqual(['"public"."small"', 10])
    expect(found.filter(([partition]) => partition === '"public"."Old ""1"""').length).toBeGreaterThan(1)
    // Nothing to change there at the start, and looked through at the end all the same.
    expect((await rangesOf(client, id, 'residual')).map(({ partition }) => partition)).toContain('"public"."next"')
  })

  test('however many there are, no session keeps the statements of them all', async () => {
    const database = await createDatabase()
    await database.query(
      'CREATE TABLE items (id int PRIMARY KEY, touched int NOT NULL DEFAULT 0) PARTITION BY RANGE (id)',
    )
    await database.query(`DO $$ BEGIN FOR n IN 1..40 LOOP
      EXECUTE format('CREATE TABLE items_%s PARTITION OF items FOR VALUES FROM (%s) TO (%s)', n, n, n + 1); END LOOP; END $$`)
    await database.query('INSERT INTO items SELECT generate_series(1, 40)')
    const pids = 'set: { touched: sql`pg_backend_pid()` }'
    const jobs = await jobsFolder({ 'pids.ts': jobSource({ name: 'pids', table: 'items', rest: pids }) })
    const client = await startInProcess(database, jobs)
    await client.reaches(await client.start('pids', { options: { parallelism: 1 } }), ['succeeded'])
    const most = 'SELECT max(count)::int FROM (SELECT count(*) FROM items GROUP BY touched) AS sessions'
    expect(await database.value<number>(most)).toBeLessThanOrEqual(32)
  })

  test('that come while a run lasts are done as well', async () => {
    const { database, jobs } = await createPartitioned()
    const gate = new Gate(1)
    const client = await startInProcess(database, jobs, {}, gate)
    const id = await client.start('touch')
    await gate.untilShut()
    await database.query('CREATE TABLE late PARTITION OF items FOR VALUES FROM (20000) TO (30000)')
    await database.query('INSERT INTO items SELECT generate_series(20001, 20100)')
    await database.query('INSERT INTO items SELECT generate_series(11001, 11100)')
    gate.open()
    const run = await client.reaches(id, ['succeeded'])
    expect(run.proof).toMatchObject({ rowsDone: 10_210, residual: 0 })
    await expectTouchedOnce(database, 10_210)
  })

  test.for(['DROP TABLE "Old ""1"""', 'ALTER TABLE items DETACH PARTITION "Old ""1"""'])(
    'that go while a run lasts end their ranges: %s',
    async (goes) => {
      const { database, jobs } = await createPartitioned()
      const client = await startInProcess(database, jobs)
      const id = await client.start('touch', { options: { maxRowsPerSecond: 1000 } })
      await untilDone(database, 0)
      await database.query(goes)
      const run = await client.reaches(id, ['succeeded'])
      expect(run.proof).toMatchObject({ rowsChecked: 10, residual: 0 })
      await expectTouchedOnce(database, 10)
      const events = await client.events(id)
      const gone = events.filter(({ kind }) => kind === 'partition-gone')
      expect(gone.length).toBeGreaterThan(0)
      expect(gone[0]?.detail).toMatchObject({ partition: { schema: 'public', table: 'Old "1"' } })
    },
  )

  /** A run that is paused as soon as it has begun, so that the table can be changed under it. */
  async function pausedRun(definition: typeof job, options: Record<string, unknown> = {}) {
    const { database } = await createPartitioned()
    const client = await startInProcess(database, await jobsFolder({ 'job.ts': jobSource(definition) }))
    const id = await client.start(definition.name, { options: { maxRowsPerSecond: 1000, batchSize: 100, ...options } })
    await untilDone(database, 0)
    await client.call('POST', `/runs/${id}/pause`)
    const goOn = async () => {
      await client.call('PATCH', `/runs/${id}`, { maxRowsPerSecond: null })
      await client.call('POST', `/runs/${id}/resume`)
    }
    return { database, client, id, goOn }
  }
  const count = { name: 'count', table: 'items', rest: 'set: { touched: sql`touched + 1` }' }

  test.for([job, count])('$name: one that is renamed while a run lasts is the same', async (definition) => {
    const { database, client, id, goOn } = await pausedRun(definition)
    await database.query('ALTER TABLE "Old ""1""" RENAME TO older')
    await database.query('CREATE SCHEMA elsewhere')
    await database.query('ALTER TABLE older SET SCHEMA elsewhere')
    await goOn()
    await client.reaches(id, ['succeeded'])
    await expectTouchedOnce(database, 10_010)
  })

  test.for([job, count])('$name: one that goes and comes back goes on from where it was', async (definition) => {
    const { database, client, id } = await pausedRun(definition)
    const range = 'FOR VALUES FROM (1) TO (10001)'
    await database.query('ALTER TABLE items DETACH PARTITION "Old ""1"""')
    // Its range is met, and ended, while it is away; the last of the others still has some seconds to go.
    await database.query('UPDATE evenkeel.ranges SET batch_size = 1')
    await client.call('PATCH', `/runs/${id}`, { maxRowsPerSecond: 4, batchSize: 1 })
    await client.call('POST', `/runs/${id}/resume`)
    await until(
      'its ranges to be closed',
      () => database.value<number>("SELECT count(*)::int FROM evenkeel.ranges WHERE gone AND phase = 'keys'"),
      (gone) => gone > 0,
    )
    await database.query(`ALTER TABLE items ATTACH PARTITION "Old ""1""" ${range}`)
    await client.call('PATCH', `/runs/${id}`, { maxRowsPerSecond: null, batchSize: 100 })
    await client.reaches(id, ['succeeded'])
    await expectTouchedOnce(database, 10_010)
  })

  test('that come during the check are worked off before it ends', async () => {
    const { database } = await createPartitioned()
    const slow = {
      ...job,
      // The check evaluates where for every row: as slow as it takes to be caught in the middle.
      rest: "where: sql`touched = 0 OR (id % 300 = 0 AND pg_sleep(0.02)::text = 'never')`, set: { touched: sql`touched + 1` }",
    }
    const client = await startInProcess(database, await jobsFolder({ 'touch.ts': jobSource(slow) }))
    const id = await client.start('touch')
    await client.reaches(id, ['verifying'])
    await database.query('CREATE TABLE late AS SELECT n AS id, 0 AS touched FROM generate_series(20000, 20099) AS n')
    await database.query('ALTER TABLE late ALTER id TYPE bigint, ALTER touched SET NOT NULL, ADD PRIMARY KEY (id)')
    await database.query('ALTER TABLE items ATTACH PARTITION late FOR VALUES FROM (20000) TO (30000)')
    expect((await client.run(id)).status).toBe('verifying')
    await client.reaches(id, ['succeeded'])
    await expectTouchedOnce(database, 10_110)
  })

  test('with a policy that hides rows from the role fail a run, rather than be left out', async () => {
    const { database, jobs } = await createPartitioned(createEmptyDatabase)
    const role = `limited_${database.name}`
    await database.query(`CREATE ROLE ${role} LOGIN PASSWORD 'limited' IN ROLE pg_monitor`)
    onTestFinished(async () => {
      await database.query(`DROP OWNED BY ${role}`)
      await database.query(`DROP ROLE ${role}`)
    })
    await database.query(`GRANT CREATE ON DATABASE ${database.name} TO ${role}`)
    await database.query(`GRANT SELECT, UPDATE ON ALL TABLES IN SCHEMA public TO ${role}`)
    const url = new URL(database.url)
    url.username = role
    url.password = 'limited'
    const client = await startInProcess({ url: url.href }, jobs)
    const id = await client.start('touch', { options: { maxRowsPerSecond: 2000 } })
    await untilDone(database, 0)
    await database.query('ALTER TABLE "Old ""1""" ENABLE ROW LEVEL SECURITY')
    const run = await client.reaches(id, ['failed'])
    expect(run.reason).toContain('row-level security')
  })

  test('a row that a partition alone keeps unique is locked as strongly as Postgres does', async () => {
    const { database } = await createPartitioned()
    await database.query('CREATE UNIQUE INDEX ON small (touched) WHERE false')
    const job = resolveJob(defineJob({ name: 'touch', table: 'items', set: { touched: sql`id` } }), {})
    const pool = createPool(database.url, { name: 'evenkeel engine', max: 1, settings: engineSettings })
    onTestFinished(() => pool.end())
    const control = createControl(pool, 'evenkeel')
    await migrate(control)
    const client = await pool.connect()
    expect((await inspectTarget(client, control.s, job)).rowLock).toBe('NO KEY UPDATE')
    await database.query('TRUNCATE small')
    await database.query('CREATE UNIQUE INDEX ON small (touched)')
    expect((await inspectTarget(client, control.s, job)).rowLock).toBe('UPDATE')
    client.release()
  })

  test('a table that is another one by now is left alone', async () => {
    const { database, client, id, goOn } = await pausedRun(count)
    await database.query('ALTER TABLE items RENAME TO items_before')
    await database.query('CREATE TABLE items (id bigint PRIMARY KEY, touched int NOT NULL DEFAULT 0)')
    await database.query('INSERT INTO items SELECT generate_series(1, 100)')
    await goOn()
    const run = await client.reaches(id, ['failed'])
    expect(run.reason).toContain('not the table that this run was accepted for')
    expect(await database.value('SELECT sum(touched)::int FROM items')).toBe(0)
  })

  test('another table that the job reads and that is gone fails the run, and is not taken for the partition', async () => {
    const { database } = await createPartitioned()
    await database.query('CREATE TABLE factors (factor int)')
    await database.query('INSERT INTO factors VALUES (1)')
    const reads = { ...count, rest: 'set: { touched: sql`touched + (SELECT factor FROM factors)` }' }
    const client = await startInProcess(database, await jobsFolder({ 'count.ts': jobSource(reads) }))
    const id = await client.start('count', { options: { maxRowsPerSecond: 1000 } })
    await untilDone(database, 0)
    await database.query('DROP TABLE factors')
    const run = await client.reaches(id, ['failed'])
    expect(run.reason).toContain('relation "factors" does not exist')
  })

  test('a run that an older release cut into ranges of the whole table stops', async () => {
    const { database, client, id, goOn } = await pausedRun(count)
    await database.query('UPDATE evenkeel.ranges SET leaf = NULL WHERE run_id = $1', [id])
    await goOn()
    const run = await client.reaches(id, ['failed'])
    expect(run.reason).toContain('An older release planned the ranges')
  })

  test('statement triggers of the whole, which would not fire, refuse a run', async () => {
    const { database, jobs } = await createPartitioned()
    await database.query('CREATE FUNCTION noted() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$')
    await database.query('CREATE TRIGGER note AFTER UPDATE ON items FOR EACH STATEMENT EXECUTE FUNCTION noted()')
    const client = await startInProcess(database, jobs)
    const { status, body } = await client.call<{ detail: string }>('POST', '/runs', { job: 'touch' })
    expect(status).toBe(422)
    expect(body.detail).toContain('statement-level triggers (note)')
    await database.query('ALTER TABLE ONLY items DISABLE TRIGGER note')
    await client.reaches(await client.start('touch'), ['succeeded'])
  })

  test('a dry run looks at the rows of the partition that it rehearses in, also while everything is paused', async () => {
    const { database, jobs } = await createPartitioned()
    const client = await startInProcess(database, jobs)
    await client.call('POST', '/pause', {})
    const { status, body } = await client.call<DryRun>('POST', '/runs', { job: 'touch', dryRun: true })
    expect(status).toBe(200)
    expect(body.samples.map(({ after }) => (after as Record<string, string>).touched)).toEqual([
      '1',
      '1',
      '1',
      '1',
      '1',
    ])
  })

  test('a range that waits for a lock leaves the only worker to the others', async () => {
    const { database, jobs } = await createPartitioned()
    const client = await startInProcess(database, jobs, { ROLE: 'api' })
    const id = await client.start('touch', { options: { parallelism: 1 } })
    const holder = await database.session()
    await holder.query('BEGIN')
    await holder.query('LOCK TABLE "Old ""1""" IN SHARE MODE')
    await startInProcess(database, jobs, { ROLE: 'worker' })
    await until(
      'the other partition to be done',
      () => database.value<number>('SELECT sum(touched)::int FROM small'),
      (touched) => touched === 10,
    )
    await holder.query('COMMIT')
    await client.reaches(id, ['succeeded'])
    await expectTouchedOnce(database, 10_010)
  })
})
