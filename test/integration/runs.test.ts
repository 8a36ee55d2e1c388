import { rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import type { DryRun } from '../../src/client/openapi.ts'
import { createDatabase } from '../support/database.ts'
import { Gate } from '../support/gate.ts'
import { countDone, createItems, expectTouchedOnce, untilDone } from '../support/items.ts'
import { type Client, jobSource, jobsFolder, spawnService, startInProcess } from '../support/service.ts'
import { until } from '../support/until.ts'

interface Problem {
  readonly status: number
  readonly detail: string
  readonly [extension: string]: unknown
}

async function kinds(client: Client, id: string): Promise<string[]> {
  return (await client.events(id)).map((event) => event.kind)
}

test.for([
  ['off', {}],
  ['remote_write', { synchronousCommit: 'remote_write' }],
] as const)('the commits of batches are %s', async ([expected, options]) => {
  const database = await createDatabase()
  await createItems(database, 100)
  const rest = "set: { label: sql`current_setting('synchronous_commit')` }"
  const jobs = await jobsFolder({ 'mode.ts': jobSource({ name: 'mode', table: 'items', rest }) })
  const client = await startInProcess(database, jobs)
  await client.reaches(await client.start('mode', { options }), ['succeeded'])
  expect(await database.query('SELECT DISTINCT label FROM items')).toEqual([{ label: expected }])
})

describe('starting a run', () => {
  test('the same Idempotency-Key gives the same run again; another request under it is refused', async () => {
    const database = await createDatabase()
    const client = await startInProcess(database, await createItems(database, 2000))
    const key = { 'idempotency-key': 'deploy-42' }
    const first = await client.call('POST', '/runs', { job: 'touch' }, key)
    await client.reaches(first.body.id, ['succeeded'])
    const again = await client.call('POST', '/runs', { job: 'touch' }, key)
    expect([again.status, again.body.id, again.headers.get('idempotent-replayed')]).toEqual([
      201,
      first.body.id,
      'true',
    ])
    const other = await client.call<Problem>('POST', '/runs', { job: 'count' }, key)
    expect(other.status).toBe(422)
    expect(other.body.detail).toContain('deploy-42')
    await expectTouchedOnce(database, 2000)
  })

  test('many calls at once under one key start one run', async () => {
    const database = await createDatabase()
    const client = await startInProcess(database, await createItems(database, 2000))
    const answers = await Promise.all(
      Array.from({ length: 8 }, () => client.call('POST', '/runs', { job: 'count' }, { 'idempotency-key': 'once' })),
    )
    expect(answers.map((answer) => answer.status)).toEqual(Array(8).fill(201))
    expect(new Set(answers.map((answer) => answer.body.id)).size).toBe(1)
  })

  test('a second live run of the same job and parameters is refused and names the first', async () => {
    const database = await createDatabase()
    const client = await startInProcess(database, await createItems(database, 2000), { ROLE: 'api' })
    const first = await client.start('touch')
    const second = await client.call<Problem>('POST', '/runs', { job: 'touch' })
    expect(second.status).toBe(409)
    expect(second.body).toMatchObject({ run: first })
    expect(second.body.detail).toContain(first)
    await client.call('POST', `/runs/${first}/cancel`)
    await client.start('touch')
  })

  test('other parameters are another run', async () => {
    const database = await createDatabase()
    await createItems(database, 10)
    const jobs = await jobsFolder({
      'p.ts': jobSource({
        name: 'p',
        table: 'items',
        rest: 'params: z.object({ from: z.int().default(1) }), where: ({ from }) => sql`label IS NULL AND id >= ${from}::int`, set: { label: sql`id::text` }',
      }),
    })
    const client = await startInProcess(database, jobs, { ROLE: 'api' })
    await client.start('p', { params: { from: 5 } })
    await client.start('p')
    const same = await client.call<Problem>('POST', '/runs', { job: 'p', params: { from: 1 } })
    expect(same.status).toBe(409)
    const wrong = await client.call<Problem>('POST', '/runs', { job: 'p', params: { from: 'x' } })
    expect(wrong.status).toBe(422)
    expect(wrong.body.detail).toContain('from')
  })
})

describe('a run that cannot go on', () => {
  test('a predicate that set does not make false is found out and said, not looped on', async () => {
    const database = await createDatabase()
    await createItems(database, 5000)
    const jobs = await jobsFolder({
      'endless.ts': jobSource({
        name: 'endless',
        table: 'items',
        rest: 'where: sql`label IS NULL`, set: { label: sql`CASE WHEN id <> 3210 THEN id::text END`, touched: sql`touched + 1` }',
      }),
    })
    const client = await startInProcess(database, jobs)
    const run = await client.reaches(await client.start('endless'), ['failed'])
    expect(run.reason).toContain('3210')
    expect(run.reason).toContain('never end')
    expect(await database.value<number>('SELECT max(touched) FROM items')).toBe(1)
  })

  test('bad data fails it with the SQLSTATE; retried after the data is mended, it goes on from where it was', async () => {
    const database = await createDatabase()
    await createItems(database, 5000)
    await database.query("ALTER TABLE items ADD source text NOT NULL DEFAULT '7', ADD number int")
    await database.query("UPDATE items SET source = 'seven' WHERE id = 4000")
    const jobs = await jobsFolder({
      'cast.ts': jobSource({
        name: 'cast',
        table: 'items',
        rest: 'where: sql`number IS NULL`, set: { number: sql`source::int`, touched: sql`touched + 1` }',
      }),
    })
    const client = await startInProcess(database, jobs)
    const id = await client.start('cast', { options: { batchSize: 100, maxQuarantined: 0 } })
    const failed = await client.reaches(id, ['failed'])
    expect(failed.reason).toContain('22P02')
    expect(failed.reason).toContain('seven')
    const before = await countDone(database)
    expect(before).toBeGreaterThan(0)
    await database.query("UPDATE items SET source = '7' WHERE id = 4000")
    expect((await client.call('POST', `/runs/${id}/retry`)).status).toBe(200)
    await client.reaches(id, ['succeeded'])
    await expectTouchedOnce(database, 5000)
    expect(await kinds(client, id)).toEqual(
      expect.arrayContaining(['created', 'start', 'fail', 'retry', 'verify', 'succeed']),
    )
  })

  test('rows that keep appearing are said after some rounds, not chased for ever', async () => {
    const database = await createDatabase()
    await createItems(database, 500)
    // Whoever changes a row writes another one that matches: the application has not been told yet.
    await database.query(`CREATE FUNCTION echo() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN INSERT INTO items (id) VALUES (NEW.id + 1000000); RETURN NULL; END $$`)
    await database.query('CREATE TRIGGER echo AFTER UPDATE ON items FOR EACH ROW EXECUTE FUNCTION echo()')
    const jobs = await jobsFolder({
      't.ts': jobSource({
        name: 't',
        table: 'items',
        rest: 'where: sql`label IS NULL`, set: { label: sql`id::text` }',
      }),
    })
    const client = await startInProcess(database, jobs)
    const id = await client.start('t')
    const run = await client.reaches(id, ['failed'])
    expect(run.reason).toContain('After 5 rounds at least 500 rows still match')

    // Retried, it does not take the check of before for one that found nothing.
    await client.call('POST', `/runs/${id}/retry`)
    expect((await client.reaches(id, ['failed'])).reason).toContain('500 rows still match')
    await database.query('DROP TRIGGER echo ON items')
    await client.call('POST', `/runs/${id}/retry`)
    await client.reaches(id, ['succeeded'])
    expect(await database.value('SELECT count(*)::int FROM items WHERE label IS NULL')).toBe(0)
  })
})

test('a failed run that nobody wants any more is given up, at once and for good', async () => {
  const database = await createDatabase()
  const jobs = await createItems(database, 1000)
  await database.query('ALTER TABLE items ADD CONSTRAINT sound CHECK (touched = 0 OR id <> 700)')
  const client = await startInProcess(database, jobs, { ROLE: 'api' })
  const id = await client.start('touch', { options: { parallelism: 2 } })
  // Failing has to take it away: cancelling waits for nobody.
  await database.query(
    `UPDATE evenkeel.ranges SET lease_owner = 'cut off', lease_until = clock_timestamp() + interval '50 seconds'
     WHERE run_id = $1 AND phase = 'stragglers'`,
    [id],
  )
  await startInProcess(database, jobs, { ROLE: 'worker' })
  const { reason } = await client.reaches(id, ['failed'])
  expect(
    await database.query(
      'SELECT FROM evenkeel.ranges WHERE lease_owner IS NOT NULL OR ticket IS NOT NULL OR epoch = 0',
    ),
  ).toEqual([])

  const { status, body } = await client.call('POST', `/runs/${id}/cancel`, { reason: 'wrong job' })
  expect([status, body.status, body.reason]).toEqual([200, 'cancelled', 'wrong job'])
  const events = await client.events(id)
  expect(events.at(-2)).toMatchObject({ kind: 'fail', detail: { to: 'failed', reason } })
  expect(events.at(-1)).toMatchObject({
    kind: 'cancel',
    actor: 'local',
    detail: { from: 'failed', to: 'cancelled', reason: 'wrong job' },
  })

  for (const call of ['cancel', 'retry', 'quarantine/retry']) {
    const refused = await client.call<Problem>('POST', `/runs/${id}/${call}`)
    expect([refused.status, refused.body], call).toMatchObject([409, { from: 'cancelled' }])
    expect(refused.body.detail).toMatch(/start a new run/i)
  }
  await database.query('ALTER TABLE items DROP CONSTRAINT sound')
  await client.reaches(await client.start('touch'), ['succeeded'])
  await expectTouchedOnce(database, 1000)
  expect((await client.run(id)).status).toBe('cancelled')
})

describe('a database that does not let it', () => {
  test('a batch that is turned away again and again says why, and goes on by itself', async () => {
    const database = await createDatabase()
    const client = await startInProcess(database, await createItems(database, 2000))
    const id = await client.start('touch', { options: { batchSize: 100, maxRowsPerSecond: 500 } })
    await until('the run to get on', () => countDone(database), Boolean)
    const other = await database.session()
    await other.query('BEGIN')
    await other.query('LOCK TABLE items IN SHARE MODE')
    const held = await until(
      'the run to say why',
      () => client.run(id),
      (run) => run.throttle?.signal === 'lock-timeout',
    )
    expect(held.status).toBe('running')
    expect(held.throttle?.reason).toContain('55P03')
    await other.query('COMMIT')
    await client.reaches(id, ['succeeded'])
    await expectTouchedOnce(database, 2000)
  })

  test('a column of a unique index: rows that a foreign key holds are stragglers, and nobody waits for us', async () => {
    const database = await createDatabase()
    await createItems(database, 1000)
    await database.query('ALTER TABLE items ADD code text')
    await database.query('CREATE UNIQUE INDEX ON items (code)')
    await database.query('CREATE TABLE parts (item bigint REFERENCES items)')
    const jobs = await jobsFolder({
      'code.ts': jobSource({
        name: 'code',
        table: 'items',
        rest: 'where: sql`code IS NULL`, set: { code: sql`id::text`, touched: sql`touched + 1` }',
      }),
    })
    const client = await startInProcess(database, jobs)
    const other = await database.session()
    await other.query('BEGIN')
    await other.query('INSERT INTO parts VALUES (500)')
    const id = await client.start('code')
    const waiting = await until(
      'the run to wait for it',
      () => client.run(id),
      (run) => run.reason !== null,
    )
    expect(waiting.reason).toContain('1 row is held')
    expect(waiting.progress).toMatchObject({ rowsDone: 999, stragglers: 1 })
    await other.query('COMMIT')
    await client.reaches(id, ['succeeded'])
    await expectTouchedOnce(database, 1000)
  })

  test('connections of the control schema that are lost cost neither the process nor the run', async () => {
    const rows = 10_000
    const database = await createDatabase()
    const jobs = await createItems(database, rows)
    const { client, process } = await spawnService(database, jobs)
    const id = await client.start('touch', { options: { maxRowsPerSecond: 3000 } })
    for (let share = 0.05; share < 0.5; share += 0.05) {
      await untilDone(database, rows * share)
      await database.query(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'evenkeel%'",
      )
    }
    await client.reaches(id, ['succeeded'])
    expect(process.exitCode).toBeNull()
    await expectTouchedOnce(database, rows)
  })

  test('options in the connection string do not take away those of ours', async () => {
    const database = await createDatabase()
    const jobs = await createItems(database, 1000)
    const url = `${database.url}?options=-c%20search_path%3Dpublic%20-c%20work_mem%3D5MB`
    const client = await startInProcess({ url }, jobs)
    await client.reaches(await client.start('touch'), ['succeeded'])
    await expectTouchedOnce(database, 1000)
  })
})

describe('a table that others use meanwhile', () => {
  test('rows inserted, deleted and filled in by others are all right', async () => {
    const rows = 20_000
    const database = await createDatabase()
    const client = await startInProcess(database, await createItems(database, rows))
    const id = await client.start('touch', { options: { maxRowsPerSecond: 8000 } })
    await untilDone(database, 2000)
    // Behind the cursors and in front of them, inside the frozen bound and above it.
    await database.query('INSERT INTO items (id) SELECT -generate_series(1, 100)')
    await database.query('INSERT INTO items (id) SELECT generate_series($1::int + 1, $1::int + 100)', [rows])
    await database.query('DELETE FROM items WHERE id % 50 = 0')
    await database.query("UPDATE items SET label = 'by hand', touched = 1 WHERE id % 50 = 1 AND label IS NULL")
    await client.call('PATCH', `/runs/${id}`, { maxRowsPerSecond: null })
    const run = await client.reaches(id, ['succeeded'])
    expect(run.proof).toMatchObject({ residual: 0 })
    expect(await database.query('SELECT count(*)::int AS left FROM items WHERE label IS NULL OR touched <> 1')).toEqual(
      [{ left: 0 }],
    )
    expect(await kinds(client, id)).toContain('found-remaining')
  })
})

test('a run that has ended has nobody’s lease on it, also where a worker could not give it back', async () => {
  const database = await createDatabase()
  const gate = new Gate(2)
  const client = await startInProcess(database, await createItems(database, 4000), {}, gate)
  const id = await client.start('touch', { options: { batchSize: 100, parallelism: 2 } })
  await gate.untilShut()
  await database.query(
    `UPDATE evenkeel.ranges SET lease_owner = 'cut off', lease_until = clock_timestamp() + interval '50 seconds'
     WHERE run_id = $1 AND phase = 'stragglers'`,
    [id],
  )
  gate.open()
  await client.reaches(id, ['succeeded'])
  expect(await database.query('SELECT FROM evenkeel.ranges WHERE lease_owner IS NOT NULL')).toEqual([])
})

describe('the residual check', () => {
  test('that was paused starts again: rows that turned up behind it are found', async () => {
    const rows = 30_000
    const database = await createDatabase()
    await createItems(database, rows)
    const jobs = await jobsFolder({
      'slow.ts': jobSource({
        name: 'slow',
        table: 'items',
        // The check evaluates where for every row: as slow as it takes to be caught in the middle.
        rest: "where: sql`label IS NULL OR (id % 300 = 0 AND label = pg_sleep(0.02)::text || 'never')`, set: { label: sql`id::text` }",
      }),
    })
    const client = await startInProcess(database, jobs)
    const id = await client.start('slow')
    await client.reaches(id, ['verifying'])
    await until(
      'the check to be under way',
      async () => (await client.ranges(id)).at(-1)?.rowsScanned ?? 0,
      (scanned) => scanned > 100,
    )
    expect((await client.call('POST', `/runs/${id}/pause`)).body.status).toBe('paused')
    await database.query('UPDATE items SET label = NULL WHERE id <= 20')
    await client.call('POST', `/runs/${id}/resume`)
    const run = await client.reaches(id, ['succeeded'])
    expect(run.proof).toMatchObject({ rowsChecked: rows, residual: 0 })
    expect(await database.value('SELECT count(*)::int FROM items WHERE label IS NULL')).toBe(0)
  })
})

describe('a job that changes under its run', () => {
  test('to another table, or to no predicate, cannot be accepted for the run that there is', async () => {
    const database = await createDatabase()
    const jobs = await createItems(database, 5000)
    await database.query('CREATE TABLE other (id bigint PRIMARY KEY, label text, touched int)')
    const client = await startInProcess(database, jobs, { ROLE: 'api' })
    const id = await client.start('touch')
    await client.call('POST', `/runs/${id}/pause`)
    for (const changed of [
      { name: 'touch', table: 'other', rest: "where: sql`label IS NULL`, set: { label: sql`'x'` }" },
      { name: 'touch', table: 'items', rest: "set: { label: sql`'x'` }" },
    ]) {
      await writeFile(join(jobs, 'touch.ts'), jobSource(changed))
      const refused = await client.call<Problem>('POST', `/runs/${id}/resume`, { acceptJobChange: true })
      expect(refused.status).toBe(409)
      expect(refused.body.detail).toContain('start a new one')
    }
    const wrong = { name: 'touch', table: 'items', rest: 'where: sql`label IS NULL`, set: { id: sql`id + 1` }' }
    await writeFile(join(jobs, 'touch.ts'), jobSource(wrong))
    const refused = await client.call<Problem>('POST', `/runs/${id}/resume`, { acceptJobChange: true })
    expect(refused.status).toBe(422)
    expect(refused.body.detail).toContain('set writes key column id')
  })

  test('each time it is read is refused at once', async () => {
    const database = await createDatabase()
    await createItems(database, 10)
    const jobs = await jobsFolder({
      'clock.ts': jobSource({
        name: 'clock',
        table: 'items',
        rest: 'where: () => sql`label IS NULL AND ${process.hrtime.bigint()} > 0`, set: { label: sql`1` }',
      }),
    })
    const client = await startInProcess(database, jobs, { ROLE: 'api' })
    const { status, body } = await client.call<Problem>('POST', '/runs', { job: 'clock' })
    expect([status, body.detail]).toEqual([422, expect.stringContaining('changes each time it is read')])
  })

  test('resuming is refused until somebody says so', async () => {
    const database = await createDatabase()
    const jobs = await createItems(database, 2000)
    const gate = new Gate(2)
    const client = await startInProcess(database, jobs, {}, gate)
    const id = await client.start('touch', { options: { batchSize: 100 } })
    await gate.untilShut()
    const paused = client.call('POST', `/runs/${id}/pause`)
    await client.reaches(id, ['pausing', 'paused'])
    gate.open()
    await paused
    const changed = "where: sql`label IS NULL`, set: { label: sql`'v2 ' || id`, touched: sql`touched + 1` }"
    await writeFile(join(jobs, 'touch.ts'), jobSource({ name: 'touch', table: 'items', rest: changed }))
    const refused = await client.call<Problem>('POST', `/runs/${id}/resume`)
    expect(refused.status).toBe(409)
    expect(refused.body.detail).toContain('acceptJobChange')
    expect((await client.run(id)).status).toBe('paused')
    const accepted = await client.call('POST', `/runs/${id}/resume`, { acceptJobChange: true })
    expect(accepted.status).toBe(200)
    await client.reaches(id, ['succeeded'])
    await expectTouchedOnce(database, 2000)
    expect(await kinds(client, id)).toContain('job-change-accepted')
  })

  test('a file that is away for a moment, as while files are exchanged, keeps no run from going on', async () => {
    const database = await createDatabase()
    const jobs = await createItems(database, 20_000)
    const client = await startInProcess(database, jobs)
    const id = await client.start('count', { options: { maxRowsPerSecond: 3000 } })
    await client.reaches(id, ['running'])
    await rename(join(jobs, 'count.ts'), join(jobs, '_count.ts'))
    await until('a worker to miss it', () =>
      database.value<boolean>('SELECT bool_or(attempts > 0) FROM evenkeel.ranges'),
    )
    await rename(join(jobs, '_count.ts'), join(jobs, 'count.ts'))
    await client.call('PATCH', `/runs/${id}`, { maxRowsPerSecond: null })
    await client.reaches(id, ['succeeded'])
    await expectTouchedOnce(database, 20_000)
    expect(await kinds(client, id)).not.toContain('pause')
  })

  test('a worker that finds it changed pauses the run and touches nothing more', async () => {
    const database = await createDatabase()
    const jobs = await createItems(database, 60_000)
    const client = await startInProcess(database, jobs)
    const id = await client.start('touch', { options: { maxRowsPerSecond: 3000 } })
    await client.reaches(id, ['running'])
    await writeFile(
      join(jobs, 'touch.ts'),
      jobSource({ name: 'touch', table: 'items', rest: 'set: { label: sql`1` }' }),
    )
    const run = await client.reaches(id, ['paused'])
    expect(run.reason).toContain('has changed')
    expect(await database.value<number>("SELECT count(*)::int FROM items WHERE label = '1'")).toBe(0)
  })
})

test('what the database sets for its sessions does not reach what changes a status', async () => {
  const database = await createDatabase()
  await database.query(`ALTER DATABASE ${database.name} SET default_transaction_isolation = 'serializable'`)
  await database.query(`ALTER DATABASE ${database.name} SET synchronous_commit = 'off'`)
  const client = await startInProcess(database, await createItems(database, 1000))
  await database.query('CREATE TABLE seen (n serial, status text, isolation text, synchronous text)')
  await database.query(`CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO public.seen (status, isolation, synchronous)
      VALUES (NEW.status, current_setting('transaction_isolation'), current_setting('synchronous_commit'));
    RETURN NEW; END $$`)
  await database.query(
    'CREATE TRIGGER see AFTER INSERT OR UPDATE OF status ON evenkeel.runs FOR EACH ROW EXECUTE FUNCTION see()',
  )
  await client.reaches(await client.start('touch'), ['succeeded'])
  // What others act on waits for standbys; a status on the way waits for the disk, whatever the database says.
  expect(await database.query('SELECT status, isolation, synchronous FROM seen ORDER BY n')).toEqual([
    { status: 'queued', isolation: 'read committed', synchronous: 'on' },
    { status: 'running', isolation: 'read committed', synchronous: 'local' },
    { status: 'verifying', isolation: 'read committed', synchronous: 'local' },
    { status: 'succeeded', isolation: 'read committed', synchronous: 'on' },
  ])
})

describe('options of a live run', () => {
  test('PATCH changes them while it runs; a version that is gone is refused', async () => {
    const database = await createDatabase()
    const client = await startInProcess(database, await createItems(database, 30_000))
    const id = await client.start('touch', { options: { maxRowsPerSecond: 500 } })
    const { body, headers } = await client.call('GET', `/runs/${id}`)
    const current = headers.get('etag') ?? ''
    expect(current).toBe(`"${body.version}"`)
    await client.reaches(id, ['running'])
    const version = `"${(await client.run(id)).version}"`
    const patched = await client.call('PATCH', `/runs/${id}`, { maxRowsPerSecond: null }, { 'if-match': version })
    expect([patched.status, patched.body.options.maxRowsPerSecond]).toEqual([200, null])
    const stale = await client.call<Problem>('PATCH', `/runs/${id}`, { parallelism: 3 }, { 'if-match': version })
    expect(stale.status).toBe(412)
    // At 500 rows a second it would take a minute.
    await client.reaches(id, ['succeeded'], 20)
    expect(await kinds(client, id)).toContain('options')
    const late = await client.call<Problem>('PATCH', `/runs/${id}`, { parallelism: 3 })
    expect(late.status).toBe(409)
  })

  test('maxRowsPerSecond is kept by all workers of a run together', async () => {
    const database = await createDatabase()
    const client = await startInProcess(database, await createItems(database, 30_000))
    const id = await client.start('touch', { options: { maxRowsPerSecond: 2000, parallelism: 3 } })
    await untilDone(database, 1000)
    const sample = () =>
      database.query<{ at: number; done: number }>(
        'SELECT extract(epoch FROM clock_timestamp())::float8 AS at, count(*)::int AS done FROM items WHERE touched > 0',
      )
    const [first] = await sample()
    const [last] = await until('three seconds of work', sample, ([now]) => (now?.at ?? 0) > (first?.at ?? 0) + 3)
    const rate = ((last?.done ?? 0) - (first?.done ?? 0)) / ((last?.at ?? 0) - (first?.at ?? 0))
    expect(rate).toBeGreaterThan(1000)
    expect(rate).toBeLessThan(2400)
    expect((await client.run(id)).throttle).toMatchObject({ signal: 'rate', limit: 2000 })
  })
})

describe('a dry run', () => {
  test('executes batches, shows rows before and after, and leaves nothing behind', async () => {
    const database = await createDatabase()
    const client = await startInProcess(database, await createItems(database, 20_000))
    const asked = { job: 'touch', dryRun: true, plan: true }
    const { status, body } = await client.call<DryRun>('POST', '/runs', asked)
    expect(status).toBe(200)
    expect(body).toMatchObject({
      job: 'touch',
      rowsTotal: 20_000,
      batches: 3,
      rowsScanned: 3000,
      rowsMatched: 3000,
      rowsChanged: 3000,
    })
    expect(body.samples[0]).toEqual({
      before: { id: '1', label: null, touched: '0' },
      after: { id: '1', label: 'item 1', touched: '1' },
    })
    expect(body.rowsPerSecond).toBeGreaterThan(0)
    expect(body.estimate.walBytes).toBeGreaterThan(20_000 * 50)
    expect(body.estimate.seconds).toBeGreaterThan(0)
    expect(JSON.stringify(body.plan)).toContain('Index')
    expect(await countDone(database)).toBe(0)
    expect(await database.value('SELECT count(*)::int FROM evenkeel.runs')).toBe(0)
    expect(await database.value('SELECT count(*)::int FROM evenkeel.ranges')).toBe(0)
    expect(await client.start('touch')).toBe('touch-1')
  })

  test('says when where stays true, and does not mind a live run of the same job', async () => {
    const database = await createDatabase()
    await createItems(database, 2000)
    const jobs = await jobsFolder({
      'endless.ts': jobSource({
        name: 'endless',
        table: 'items',
        rest: 'where: sql`label IS NULL`, set: { touched: sql`touched + 1` }',
      }),
    })
    const client = await startInProcess(database, jobs, { ROLE: 'api' })
    await client.start('endless')
    const { status, body } = await client.call<DryRun>('POST', '/runs', { job: 'endless', dryRun: true })
    expect(status).toBe(200)
    expect(body.warnings.join()).toContain('where still matches')
  })
})

test('require_succeeded lets a later migration pass only when the last run has succeeded', async () => {
  const database = await createDatabase()
  const client = await startInProcess(database, await createItems(database, 2000))
  const gate = () => database.query("SELECT evenkeel.require_succeeded('touch')")
  await expect(gate()).rejects.toThrow('never been run')
  const id = await client.start('touch', { options: { maxRowsPerSecond: 100 } })
  await expect(gate()).rejects.toThrow(`its last run ${id} is`)
  await client.call('PATCH', `/runs/${id}`, { maxRowsPerSecond: null })
  await client.reaches(id, ['succeeded'])
  await gate()
})
