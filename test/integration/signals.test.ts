import { randomBytes } from 'node:crypto'
import { describe, expect, inject, onTestFinished, test } from 'vitest'
import { createPool } from '../../src/postgres/pool.ts'
import { checkReplicas } from '../../src/signals/replicas.ts'
import { createDatabase, type TestDatabase } from '../support/database.ts'
import { release } from '../support/postgres.ts'
import { nextReading, othersOf, reading, sample, sessionNamed, untilReading } from '../support/sampler.ts'
import { until } from '../support/until.ts'

/** A role that may connect and no more; dropped with the test. Its name needs quotes. */
async function plainRole(database: TestDatabase): Promise<{ role: string; url: string }> {
  const role = `Plain ${randomBytes(4).toString('hex')}`
  await database.query(`CREATE ROLE "${role}" LOGIN PASSWORD 'plain'`)
  onTestFinished(async () => {
    await database.query(`DROP ROLE "${role}"`)
  })
  const url = new URL(database.url)
  url.username = encodeURIComponent(role)
  url.password = 'plain'
  return { role, url: url.href }
}

/** Sessions that do nothing keep their counts to themselves for ten seconds. These are gone, so theirs are there. */
async function flushed(database: TestDatabase): Promise<void> {
  await database.query(
    'SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()',
  )
  await flush(database)
}

/** Before 15 a session tells what it has counted at the end of a statement, half a second after it did so last. */
async function flush(session: { query(text: string): Promise<unknown> }): Promise<void> {
  await session.query(release < 15 ? 'SELECT pg_sleep(0.6)' : 'SELECT pg_stat_force_next_flush()')
}

describe('blocked', () => {
  test('counts the looks in which somebody waits for a lock of the engine, and ends with the waiting', async () => {
    const database = await createDatabase()
    await database.query('CREATE TABLE items (id int)')
    const sampler = await sample(database.url)
    expect(reading(sampler, 'blocked')).toMatchObject({ value: 0, detail: 'no session' })

    const engine = await sessionNamed(database.url, 'evenkeel engine')
    await engine.query('BEGIN; LOCK TABLE items')
    const user = await sessionNamed(database.url, 'shop')
    const { pid } = (await user.query('SELECT pg_backend_pid() AS pid')).rows[0]
    const waiting = user.query('SELECT FROM items')
    const blocked = await untilReading(sampler, 'blocked', ({ value }) => (value ?? 0) >= 3)
    expect(blocked.detail).toMatch(new RegExp(`^1 session, since \\d+\\.\\d s: pid ${pid} \\(shop\\)$`))
    expect(blocked.worst).toBe(blocked.value)

    await engine.query('ROLLBACK')
    await waiting
    const free = await untilReading(sampler, 'blocked', ({ value }) => value === 0)
    expect(free.worst).toBeGreaterThan(0)
    await untilReading(sampler, 'blocked', ({ worst }) => worst === 0)
  })

  test('is nothing to do with locks that others hold, nor with us waiting for each other', async () => {
    const database = await createDatabase()
    await database.query('CREATE TABLE theirs (id int)')
    await database.query('CREATE TABLE ours (id int)')
    const holders = [await sessionNamed(database.url, 'migration'), await sessionNamed(database.url, 'evenkeel engine')]
    await holders[0]?.query('BEGIN; LOCK TABLE theirs')
    await holders[1]?.query('BEGIN; LOCK TABLE ours')
    const [shop, engine] = [
      await sessionNamed(database.url, 'shop'),
      await sessionNamed(database.url, 'evenkeel engine'),
    ]
    const waiting = [shop.query('SELECT FROM theirs'), engine.query('SELECT FROM ours')]
    await until(
      'both to wait',
      () =>
        database.value<number>(
          "SELECT count(*)::int FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()",
        ),
      (count) => count === 2,
    )
    const sampler = await sample(database.url)
    expect(await nextReading(sampler, 'blocked')).toMatchObject({ value: 0, worst: 0 })
    for (const holder of holders) await holder.query('ROLLBACK')
    await Promise.all(waiting)
  })
})

describe('a role without rights', () => {
  test('knows nothing of others, says what to grant, and knows it as soon as that is granted', async () => {
    const database = await createDatabase()
    const { role, url } = await plainRole(database)
    // Somebody to be seen or not.
    await sessionNamed(database.url, 'shop')
    const sampler = await sample(url, { replicas: { kind: 'auto' } })
    const grant = `GRANT pg_monitor TO "${role}"`
    for (const signal of [
      'replica-lag',
      'replica-bytes',
      'replicas-missing',
      'blocked',
      'active',
      'snapshot',
    ] as const) {
      const unknown = reading(sampler, signal)
      expect(unknown, signal).toMatchObject({ value: null, worst: null })
      expect(unknown?.detail, signal).toContain(grant)
    }
    expect(othersOf(sampler)).toBeNull()

    await database.query(grant)
    await untilReading(sampler, 'blocked', ({ value }) => value === 0)
    await untilReading(sampler, 'active', ({ worst }) => worst !== null)
    await untilReading(sampler, 'snapshot', ({ value }) => value !== null)
    // No standby, and now that can be told.
    await until(
      'the replicas to be absent',
      () => reading(sampler, 'replicas-missing'),
      (measured) => measured === undefined,
    )
    expect(othersOf(sampler)).toBeGreaterThanOrEqual(0)
  })

  test('is refused a run that watches replicas', async () => {
    const database = await createDatabase()
    const { role, url } = await plainRole(database)
    const pool = createPool(url, { name: 'evenkeel signals', max: 1, settings: {} })
    onTestFinished(() => pool.end())
    const demand = { known: new Map(), maxLagSeconds: 5, heartbeats: true }
    expect(await checkReplicas(pool, { ...demand, policy: { kind: 'auto' } })).toEqual([
      `Role "${role}" may not see the standbys (pg_stat_replication): GRANT pg_monitor TO "${role}".`,
    ])
    expect(await checkReplicas(pool, { ...demand, policy: { kind: 'none' } })).toEqual([])
    await database.query(`GRANT pg_monitor TO "${role}"`)
    expect(await checkReplicas(pool, { ...demand, policy: { kind: 'auto' } })).toEqual([])
    expect(await checkReplicas(pool, { ...demand, heartbeats: false, policy: { kind: 'auto' } })).toEqual([
      expect.stringContaining('set REPLICAS=none'),
    ])
  })
})

describe('dead tuples', () => {
  test('are counted on the table that is asked for', async () => {
    const database = await createDatabase()
    await database.query('CREATE TABLE half (id int) WITH (autovacuum_enabled = off)')
    await database.query('CREATE TABLE clean (id int) WITH (autovacuum_enabled = off)')
    for (const table of ['half', 'clean']) await database.query(`INSERT INTO ${table} SELECT generate_series(1, 1000)`)
    await database.query('UPDATE half SET id = -id')
    await flushed(database)
    const [half, clean] = [
      { schema: 'public', table: 'half' },
      { schema: 'public', table: 'clean' },
    ]
    const sampler = await sample(database.url)
    expect(reading(sampler, 'dead-tuples')).toBeUndefined()
    expect(reading(sampler, 'dead-tuples', half)).toMatchObject({ value: null, worst: null })
    sampler.watch([half, clean])
    await untilReading(sampler, 'dead-tuples', ({ value }) => value === 0.5, { table: half })
    await untilReading(sampler, 'dead-tuples', ({ value }) => value === 0, { table: clean })
    expect(reading(sampler, 'dead-tuples')).toBeUndefined()

    await database.query('DROP TABLE half')
    const gone = await untilReading(sampler, 'dead-tuples', ({ value }) => value === null, { table: half })
    expect(gone.detail).toBe('there is no table "public"."half": it was dropped or renamed')
    expect(await nextReading(sampler, 'dead-tuples', clean)).toMatchObject({ value: 0 })
  })

  test('of a partitioned table are those of its leaves', async () => {
    const database = await createDatabase()
    await database.query('CREATE SCHEMA "Odd S"')
    await database.query('CREATE TABLE "Odd S"."whole ""T""" (id int) PARTITION BY RANGE (id)')
    await database.query(
      'CREATE TABLE low PARTITION OF "Odd S"."whole ""T""" FOR VALUES FROM (0) TO (100) PARTITION BY RANGE (id)',
    )
    await database.query('CREATE TABLE lowest PARTITION OF low FOR VALUES FROM (0) TO (100)')
    await database.query('CREATE TABLE high PARTITION OF "Odd S"."whole ""T""" FOR VALUES FROM (100) TO (1000)')
    for (const leaf of ['lowest', 'high']) await database.query(`ALTER TABLE ${leaf} SET (autovacuum_enabled = off)`)
    await database.query('INSERT INTO "Odd S"."whole ""T""" SELECT generate_series(0, 399)')
    await database.query('UPDATE lowest SET id = id')
    await flushed(database)
    const table = { schema: 'Odd S', table: 'whole "T"' }
    const sampler = await sample(database.url)
    sampler.watch([table])
    const found = await untilReading(sampler, 'dead-tuples', ({ value }) => value === 0.2, { table })
    expect(found.detail).toBe('table "Odd S"."whole ""T"""')
  })

  test('are not taken for the whole table after its counters were lost in a crash', async () => {
    const database = await createDatabase()
    const session = await sessionNamed(database.url, 'shop')
    await session.query('CREATE TABLE items (id int) WITH (autovacuum_enabled = off)')
    await session.query('INSERT INTO items SELECT generate_series(1, 1000)')
    await flush(session)
    await session.query('ANALYZE items')
    await session.query("SELECT pg_stat_reset_single_table_counters('items'::regclass)")
    await session.query('UPDATE items SET id = -id WHERE id <= 250')
    await flush(session)
    const table = { schema: 'public', table: 'items' }
    const sampler = await sample(database.url)
    sampler.watch([table])
    await untilReading(sampler, 'dead-tuples', ({ value }) => value === 0.2, { table })
  })

  test('of a table that nobody has counted are unknown', async () => {
    const database = await createDatabase()
    await database.query('CREATE TABLE fresh (id int)')
    const table = { schema: 'public', table: 'fresh' }
    const sampler = await sample(database.url)
    sampler.watch([table])
    await untilReading(sampler, 'dead-tuples', ({ detail }) => detail.includes('ANALYZE "public"."fresh"'), { table })
    await database.query('ANALYZE fresh')
    await untilReading(sampler, 'dead-tuples', ({ value }) => value === 0, { table })
  })
})

test('vacuum is seen on a table and on the partitions of one, while it lasts', async () => {
  const database = await createDatabase()
  await database.query('CREATE TABLE whole (id int, filler text) PARTITION BY RANGE (id)')
  await database.query('CREATE TABLE leaf PARTITION OF whole FOR VALUES FROM (0) TO (100000)')
  await database.query('CREATE TABLE beside (id int)')
  await database.query("INSERT INTO leaf SELECT generate_series(1, 20000), repeat('x', 200)")
  const [whole, leaf, beside] = ['whole', 'leaf', 'beside'].map((table) => ({ schema: 'public', table })) as [
    { schema: string; table: string },
    { schema: string; table: string },
    { schema: string; table: string },
  ]
  const sampler = await sample(database.url)
  sampler.watch([whole, leaf, beside])
  await untilReading(sampler, 'vacuum', ({ value }) => value === 0, { table: whole })

  const vacuuming = await sessionNamed(database.url, 'vacuum')
  await vacuuming.query('SET vacuum_cost_delay = 100; SET vacuum_cost_limit = 1')
  const { pid } = (await vacuuming.query('SELECT pg_backend_pid() AS pid')).rows[0]
  const vacuum = vacuuming.query('VACUUM leaf').catch((error: Error) => error)
  await untilReading(sampler, 'vacuum', ({ value }) => value === 1, { table: whole })
  await untilReading(sampler, 'vacuum', ({ value }) => value === 1, { table: leaf })
  expect(await nextReading(sampler, 'vacuum', beside)).toMatchObject({ value: 0, worst: 0 })

  await database.query('SELECT pg_cancel_backend($1)', [pid])
  await vacuum
  await untilReading(sampler, 'vacuum', ({ value }) => value === 0, { table: whole })
})

test('the oldest transaction is named, unless it is ours', async () => {
  const database = await createDatabase()
  const sampler = await sample(database.url)
  const ours = await sessionNamed(database.url, 'evenkeel engine')
  await ours.query('BEGIN ISOLATION LEVEL REPEATABLE READ')
  await ours.query('SELECT 1')
  expect(await nextReading(sampler, 'snapshot')).toMatchObject({ value: 0, detail: 'no transaction' })

  const report = await sessionNamed(database.url, 'report')
  await report.query('BEGIN ISOLATION LEVEL REPEATABLE READ')
  const { pid } = (await report.query('SELECT pg_backend_pid() AS pid')).rows[0]
  const open = await untilReading(sampler, 'snapshot', ({ value }) => (value ?? 0) > 0)
  expect(open.detail).toBe(`pid ${pid} (report)`)
  const later = await nextReading(sampler, 'snapshot')
  expect(later.value).toBeGreaterThan(open.value ?? Number.NaN)
  expect((later.value ?? 0) - (open.value ?? 0)).toBeCloseTo((later.at - open.at) / 1000, 0)

  await report.query('COMMIT')
  await untilReading(sampler, 'snapshot', ({ value }) => value === 0)
})

test('connections that are cut are replaced, and every signal comes back', async () => {
  const database = await createDatabase()
  const failed = new Set<string>()
  const sampler = await sample(database.url, { onError: (signal) => failed.add(signal) })
  const cut = () =>
    database.query(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
       WHERE datname = current_database() AND application_name IN ('evenkeel signals', 'evenkeel probe')`,
    )
  expect(await cut()).toHaveLength(2)
  for (const signal of ['blocked', 'active', 'commit-latency', 'snapshot'] as const) {
    await untilReading(sampler, signal, ({ worst, at }) => worst !== null && performance.now() - at < 3000)
    expect(await nextReading(sampler, signal)).toMatchObject({ value: expect.any(Number) })
  }
  // A database that is gone leaves no signal with its last value.
  const admin = await sessionNamed(inject('postgresUrl'), 'admin')
  await admin.query(`ALTER DATABASE ${database.name} ALLOW_CONNECTIONS false`)
  await cut()
  for (const signal of ['blocked', 'active', 'commit-latency', 'snapshot'] as const) {
    const unknown = await untilReading(sampler, signal, ({ value }) => value === null)
    expect(unknown.detail).toMatch(/^cannot be read: .*not currently accepting connections/)
    expect(unknown.worst).toBeNull()
    expect(failed).toContain(signal)
  }
  expect(othersOf(sampler)).toBeNull()
})
