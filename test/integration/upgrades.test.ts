import { readdir, readFile } from 'node:fs/promises'
import { describe, expect, onTestFinished, test } from 'vitest'
import { initialPace } from '../../src/core/throttle/controller.ts'
import { createPool } from '../../src/postgres/pool.ts'
import { createControl } from '../../src/store/control.ts'
import { takeAllLeases } from '../../src/store/leases.ts'
import { readPace, writePace } from '../../src/store/pace.ts'
import { migrate } from '../../src/store/schema/migrate.ts'
import { guardSchemaVersion, lockVersion } from '../../src/store/schema/version.ts'
import { createDatabase, createEmptyDatabase, type TestDatabase } from '../support/database.ts'
import { countDone, createItems, expectTouchedOnce, untilDone } from '../support/items.ts'
import { spawnProcess, spawnService, startInProcess, unpaced } from '../support/service.ts'
import { perCommit } from '../support/tier.ts'
import { until } from '../support/until.ts'

const folder = new URL('../../src/store/schema/', import.meta.url)
const files = (await readdir(folder)).filter((file) => file.endsWith('.sql')).sort()
const versions = files.map((file) => Number(file.slice(0, 3)))
const newest = versions.at(-1) as number

/** A control schema as a release left it that knew no later migration. */
async function createSchemaAt(database: TestDatabase, version: number): Promise<void> {
  const session = await database.session()
  await session.query('CREATE SCHEMA evenkeel')
  await session.query('SET search_path = evenkeel')
  await session.query(
    'CREATE TABLE schema_version (version int PRIMARY KEY, file text NOT NULL, applied_at timestamptz NOT NULL DEFAULT clock_timestamp())',
  )
  for (const file of files.filter((_, index) => (versions[index] as number) <= version)) {
    await session.query(await readFile(new URL(file, folder), 'utf8'))
    await session.query('INSERT INTO schema_version (version, file) VALUES ($1, $2)', [Number(file.slice(0, 3)), file])
  }
}

/** What releases up to a version wrote otherwise than those after it. */
const writtenBefore: ReadonlyArray<{ upTo: number; sql: string }> = [
  { upTo: 1, sql: "UPDATE evenkeel.runs SET options = options - 'maxLagSeconds' - 'signals' - 'schedule'" },
  {
    upTo: 2,
    sql: `UPDATE evenkeel.runs SET options = options - 'synchronousCommit',
            target = (target - 'partitioned' - 'oid') || '{"locate": "ctid"}'`,
  },
  {
    upTo: 11,
    sql: `UPDATE evenkeel.runs SET target = (target - 'settings') || '{"key": [{"name": "id", "type": "bigint"}]}'`,
  },
]

/** Puts the schema that is there back to an older version, with the runs and ranges that are in it. */
async function putBack(database: TestDatabase, version: number): Promise<void> {
  await database.query('ALTER SCHEMA evenkeel RENAME TO newer')
  // Before 13 a range had a kind.
  await database.query('ALTER TABLE newer.ranges RENAME COLUMN phase TO kind')
  await createSchemaAt(database, version)
  await database.query('DELETE FROM evenkeel.instance')
  for (const table of ['instance', 'runs', 'rates', 'ranges', 'events']) {
    const columns = await database.value<string | null>(
      `SELECT string_agg(quote_ident(column_name), ', ') FROM information_schema.columns
       WHERE table_schema = 'evenkeel' AND table_name = $1`,
      [table],
    )
    // A table of a later version.
    if (columns === null) continue
    await database.query(
      `INSERT INTO evenkeel.${table} (${columns}) OVERRIDING SYSTEM VALUE SELECT ${columns} FROM newer.${table}`,
    )
  }
  await database.query('DROP SCHEMA newer CASCADE')
  for (const { upTo, sql } of writtenBefore) if (version <= upTo) await database.query(sql)
}

const owners = (database: TestDatabase) => database.value<number>('SELECT count(lease_owner)::int FROM evenkeel.ranges')

const versionOf = (database: TestDatabase) =>
  database.value<number>('SELECT max(version)::int FROM evenkeel.schema_version')

describe('the control schema', () => {
  test.for(perCommit([versions[0] as number, versions.at(-2) as number], { nightly: versions.slice(0, -1) }))(
    'of version %i is brought up to date, and its runs go on',
    async (version) => {
      const database = await createEmptyDatabase()
      const jobs = await createItems(database, 3000)
      const before = await startInProcess(database, jobs)
      const id = await before.start('count', { options: { maxRowsPerSecond: 500, batchSize: 20 } })
      await untilDone(database, 200)
      await before.service.close()
      const done = (await database.value<string>('SELECT sum(touched) FROM items')) as string
      await putBack(database, version)
      // A worker of that release is in the middle of each range.
      await database.query(
        "UPDATE evenkeel.ranges SET lease_owner = 'before', lease_until = clock_timestamp() + interval '1 hour' WHERE NOT done",
      )

      const after = await startInProcess(database, jobs)
      expect(await versionOf(database)).toBe(newest)
      await after.call('PATCH', `/runs/${id}`, { ...unpaced, maxRowsPerSecond: null })
      const run = await after.reaches(id, ['succeeded'])
      expect(Number(done)).toBeLessThan(3000)
      expect(run.proof).toMatchObject({ rowsDone: 3000, rowsScanned: 3000 })
      await expectTouchedOnce(database, 3000)
      await database.query("SELECT evenkeel.require_succeeded('count')")
    },
  )

  test('of version 12 gets the words that the API has', async () => {
    const database = await createEmptyDatabase()
    await createSchemaAt(database, 12)
    await database.query(
      `INSERT INTO evenkeel.runs (id, job, params, params_hash, request_hash, status, target, has_predicate, options, fingerprint, created_by, hold, overrides)
       VALUES ('a-1', 'a', '{}', '', '', 'paused', '{}', true, '{"signals": {"others": false, "probe": 3, "slots": true}}', '', 'me',
         '{"signal": "standstill", "reason": "deploy"}', '[{"signal": "probe", "by": "me"}, {"signal": "slots", "by": "me"}]')`,
    )
    await database.query(
      "INSERT INTO evenkeel.pauses (run_id, kind, actor) VALUES ('a-1', 'run', 'me'), ('a-1', 'everything', 'me')",
    )
    await database.query("INSERT INTO evenkeel.standstill (actor) VALUES ('me')")
    await database.query(
      `INSERT INTO evenkeel.events (run_id, actor, kind) SELECT 'a-1', 'me', kind FROM unnest('{pause,settle,leftover}'::text[]) AS kind`,
    )
    await migrate(createControl(database.pool, 'evenkeel'))
    expect(await database.query('SELECT options, hold, overrides FROM evenkeel.runs')).toEqual([
      {
        options: { signals: { foreground: false, 'commit-latency': 3, slots: true } },
        hold: { signal: 'global-pause', reason: 'deploy' },
        overrides: [
          { signal: 'commit-latency', by: 'me' },
          { signal: 'slots', by: 'me' },
        ],
      },
    ])
    const kinds = (table: string) =>
      database.value(`SELECT array_agg(kind ORDER BY kind) FROM evenkeel.${table} WHERE run_id = 'a-1'`)
    expect([await kinds('pauses'), await kinds('events')]).toEqual([
      ['global', 'run'],
      ['drained', 'found-remaining', 'pause'],
    ])
    expect(await database.value('SELECT actor FROM evenkeel.global_pause')).toBe('me')
  })

  test('of version 11 shows a run whose table is gone', async () => {
    const database = await createEmptyDatabase()
    const jobs = await createItems(database, 10)
    const before = await startInProcess(database, jobs)
    const id = await before.start('touch')
    await before.reaches(id, ['succeeded'])
    await before.service.close()
    await putBack(database, 11)
    await database.query('DROP TABLE items')

    const after = await startInProcess(database, jobs, { ROLE: 'api' })
    expect((await after.run(id)).status).toBe('succeeded')
  })

  test('keeps no pace that another release has written: it is learned again', async () => {
    const database = await createDatabase()
    const control = createControl(database.pool, 'evenkeel')
    await migrate(control)
    const written = { ...initialPace, concurrency: 0.5 }
    expect(await writePace(control, written, (await readPace(control)).version)).toBe(true)
    expect((await readPace(control)).pace).toEqual(written)
    await database.query(`UPDATE evenkeel.pace SET state = '{"load": 0.5, "crew": [1], "cause": null}'`)
    expect((await readPace(control)).pace).toEqual(initialPace)
  })

  test('is made once by several processes that start at the same moment', async () => {
    const database = await createEmptyDatabase()
    const control = createControl(database.pool, 'evenkeel')
    expect(await Promise.all(Array.from({ length: 5 }, () => migrate(control)))).toEqual(Array(5).fill(newest))
    expect(await database.query('SELECT version FROM evenkeel.schema_version ORDER BY version')).toEqual(
      versions.map((version) => ({ version })),
    )
    expect(await database.value('SELECT count(*)::int FROM evenkeel.instance')).toBe(1)
  })

  test('is whole after a process was killed in the middle of its migrations', async () => {
    const database = await createEmptyDatabase()
    const jobs = await createItems(database, 100)
    await createSchemaAt(database, 1)
    const holder = await database.session()
    // The second migration changes runs first, and then comes to ranges.
    await holder.query('BEGIN; LOCK TABLE evenkeel.ranges IN ACCESS SHARE MODE')
    const first = spawnProcess(database, jobs)
    await until('the migration to wait for ranges', () =>
      database.value<boolean>(
        "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND relation = 'evenkeel.ranges'::regclass)",
      ),
    )
    await first.kill()
    await holder.query('COMMIT')

    const client = await startInProcess(database, jobs)
    expect(await versionOf(database)).toBe(newest)
    await client.reaches(await client.start('count'), ['succeeded'])
    await expectTouchedOnce(database, 100)
  })

  test('that others do not let go of is left as it was, and it is said what to do', async () => {
    const database = await createEmptyDatabase()
    await createSchemaAt(database, 1)
    const holder = await database.session()
    await holder.query('BEGIN; LOCK TABLE evenkeel.ranges IN ACCESS SHARE MODE')
    const pool = createPool(database.url, { name: 'evenkeel control', max: 1, settings: { lock_timeout: '50ms' } })
    onTestFinished(() => pool.end())
    await expect(migrate(createControl(pool, 'evenkeel'))).rejects.toThrow(/Cannot migrate schema evenkeel: .*pg_locks/)
    expect(await versionOf(database)).toBe(1)
    expect(await database.value("SELECT to_regclass('evenkeel.pace') IS NULL")).toBe(true)
  })
})

test('a process that waits to start is ended by the first SIGTERM', async () => {
  const database = await createDatabase()
  const jobs = await createItems(database, 10)
  await startInProcess(database, jobs, { ROLE: 'api' })
  const holder = await database.session()
  await holder.query('BEGIN; LOCK TABLE evenkeel.schema_version IN ACCESS EXCLUSIVE MODE')
  const waiting = spawnProcess(database, jobs)
  await until('it to wait for the lock', () =>
    database.value<boolean>(
      `SELECT EXISTS (SELECT FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE NOT l.granted
         AND l.relation = 'evenkeel.schema_version'::regclass AND a.query LIKE '%coalesce(max(version)%')`,
    ),
  )
  waiting.process.kill('SIGTERM')
  expect(await waiting.ended).toBe(0)
  // It did not end because it was let in.
  await holder.query('ROLLBACK')
})

describe('a newer release takes the control schema over', () => {
  const newer = `INSERT INTO evenkeel.schema_version (version, file) VALUES (999, '999_from_the_future.sql')`

  /** What the migration of a newer release does to a schema on which others are at work. */
  async function takeOver(database: TestDatabase): Promise<void> {
    await createControl(database.pool, 'evenkeel').transaction(async (tx) => {
      await lockVersion(tx)
      await tx.db.query(newer)
      await takeAllLeases(tx)
    })
  }

  test('while a worker is in the middle of a run: it writes nothing more, says so, and ends', async () => {
    const database = await createEmptyDatabase()
    const jobs = await createItems(database, 20_000)
    const old = await spawnService(database, jobs)
    const id = await old.client.start('count', { options: { maxRowsPerSecond: 2000, batchSize: 20 } })
    await untilDone(database, 200)
    await takeOver(database)
    const done = await countDone(database)
    expect(await old.ended).toBe(1)
    expect(await countDone(database)).toBe(done)
    expect(done).toBeLessThan(20_000)
    expect(await database.query('SELECT status FROM evenkeel.runs')).toEqual([{ status: 'running' }])
    const said = old.output().split('a newer release has taken over. Schema evenkeel is at version 999')
    expect(said).toHaveLength(2)

    const again = spawnProcess(database, jobs)
    expect(await again.ended).toBe(1)
    expect(again.output()).toContain('Start the newer release instead.')

    await database.query('DELETE FROM evenkeel.schema_version WHERE version = 999')
    const next = await startInProcess(database, jobs)
    await next.call('PATCH', `/runs/${id}`, { maxRowsPerSecond: null })
    await next.reaches(id, ['succeeded'])
    await expectTouchedOnce(database, 20_000)
  })

  test('a ticket that is out already is worth nothing to a worker of the release before', async () => {
    const database = await createEmptyDatabase()
    const old = await startInProcess(database, await createItems(database, 100))
    // Each row's wait is longer than a lease is kept through: the range's next ticket is on the queue meanwhile.
    await old.start('count', { options: { maxRowsPerSecond: 0.2, batchSize: 1, parallelism: 1 } })
    const tickets = async () => {
      const { body } = await old.call<string>('GET', '/metrics')
      return [...body.matchAll(/^backfill_queue_tickets\{.*\} (\d+)$/gm)].reduce(
        (sum, [, count]) => sum + Number(count),
        0,
      )
    }
    await until('the ticket to wait', async () => (await countDone(database)) === 1 && (await owners(database)) === 0)
    await until('the ticket to be out', tickets)
    await takeOver(database)
    await until('the ticket to be used', tickets, (count) => count === 0)
    expect([await countDone(database), await owners(database)]).toEqual([1, 0])
  })

  test('an API of the release before changes nothing, says so to whoever asks, and ends', async () => {
    const database = await createEmptyDatabase()
    const jobs = await createItems(database, 100)
    const old = await startInProcess(database, jobs, { ROLE: 'api' })
    const id = await old.start('count')
    await takeOver(database)
    const calls = [
      ['POST', `/runs/${id}/cancel`],
      ['PATCH', `/runs/${id}`, { parallelism: 3 }],
      ['POST', '/runs', { job: 'touch' }],
      ['POST', '/pause'],
      ['POST', `/runs/${id}/overrides`, { signal: 'active', reason: 'r', seconds: 60 }],
    ] as const
    for (const [method, path, body] of calls) {
      const answer = await old.call<{ detail?: string }>(method, path, body)
      expect([path, answer.status, answer.body.detail]).toEqual([path, 503, expect.stringContaining('version 999')])
    }
    expect((await old.service.outdated).message).toContain('Start the newer release')
    expect((await old.run(id)).status).toBe('queued')
    expect(await database.query('SELECT id, status FROM evenkeel.runs')).toEqual([{ id, status: 'queued' }])
    expect(await database.value('SELECT count(*)::int FROM evenkeel.global_pause')).toBe(0)
  })

  test('what has looked at the version is waited for', async () => {
    const database = await createEmptyDatabase()
    await migrate(createControl(database.pool, 'evenkeel'))
    const refused: string[] = []
    const control = guardSchemaVersion(createControl(database.pool, 'evenkeel'), newest, ({ message }) =>
      refused.push(message),
    )
    let taken: Promise<void> | undefined
    await control.transaction(async (tx) => {
      taken = takeOver(database)
      await until('the newer release to wait', () =>
        database.value<boolean>(
          "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND relation = 'evenkeel.schema_version'::regclass)",
        ),
      )
      await tx.db.query('UPDATE evenkeel.heartbeat SET beat = 7')
    })
    await taken
    await expect(
      control.transaction(async ({ db }) => db.query('UPDATE evenkeel.heartbeat SET beat = 8')),
    ).rejects.toThrow('is at version 999')
    expect(refused).toHaveLength(1)
    expect(await database.value('SELECT beat FROM evenkeel.heartbeat')).toBe('7')
  })
})
