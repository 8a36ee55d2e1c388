import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import pg from 'pg'
import { describe, expect, inject, onTestFinished, test } from 'vitest'
import { bodyOf } from '../../src/client/client.ts'
import type { DryRuns, Run } from '../../src/client/openapi.ts'
import { createDatabase, type TestDatabase } from '../support/database.ts'
import { countDone, createItems, expectTouchedOnce } from '../support/items.ts'
import { type Client, jobSource, jobsFolder, startInProcess, startOnDatabases } from '../support/service.ts'
import { until } from '../support/until.ts'

type Shards = Readonly<Record<string, TestDatabase>>

interface Problem {
  readonly status: number
  readonly detail: string
  readonly [extension: string]: unknown
}

interface Page {
  readonly runs: Run[]
  readonly next: string | null
  readonly unreachable?: Array<{ database: string; detail: string }>
}

/** Databases of these names, each with a table of so many items, and the jobs that work on it. */
async function createShards(rows: Readonly<Record<string, number>>): Promise<{ shards: Shards; jobs: string }> {
  const shards: Record<string, TestDatabase> = {}
  let jobs = ''
  for (const [name, count] of Object.entries(rows)) {
    const database = await createDatabase()
    jobs = await createItems(database, count)
    shards[name] = database
  }
  return { shards, jobs }
}

/** What each database of a run shows of it. */
function statuses({ databases = {} }: Run): Record<string, string | null> {
  return Object.fromEntries(Object.entries(databases).map(([name, part]) => [name, part.status]))
}

/** Closes a database to everybody, as if its server were gone; gives what opens it again. */
async function cutOff(database: TestDatabase): Promise<() => Promise<void>> {
  const admin = new pg.Client({ connectionString: inject('postgresUrl') })
  await admin.connect()
  let closed = true
  const open = async () => {
    if (!closed) return
    closed = false
    await admin.query(`ALTER DATABASE ${database.name} ALLOW_CONNECTIONS true`)
    await admin.end()
  }
  onTestFinished(open)
  await admin.query(`ALTER DATABASE ${database.name} ALLOW_CONNECTIONS false`)
  await admin.query('SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1', [database.name])
  return open
}

/** A line to a database that can fall silent: what is said into it is swallowed, and new calls are taken and not answered. */
async function openLine(database: TestDatabase): Promise<{ url: string; silence(): void; cut(): void }> {
  const { hostname, port } = new URL(database.url)
  const sockets = new Set<Socket>()
  let silent = false
  const keep = (socket: Socket) => {
    sockets.add(socket.on('error', () => undefined))
    return socket
  }
  const server = createServer((near) => {
    keep(near)
    if (silent) return
    const far = keep(connect(Number(port), hostname))
    near.on('data', (data) => silent || far.write(data)).on('close', () => far.destroy())
    far.on('data', (data) => silent || near.write(data)).on('close', () => silent || near.destroy())
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const cut = () => {
    server.close()
    for (const socket of sockets) socket.destroy()
  }
  onTestFinished(cut)
  const url = new URL(database.url)
  url.hostname = '127.0.0.1'
  url.port = String((server.address() as AddressInfo).port)
  return {
    url: url.href,
    silence: () => {
      silent = true
    },
    cut,
  }
}

const runningSlowly = { options: { maxRowsPerSecond: 500 } }

describe('a run over several databases', () => {
  test('has one id and one status, and is done exactly once in each', async () => {
    const { shards, jobs } = await createShards({ eu: 3000, us: 5000, ap: 10 })
    const client = await startOnDatabases(shards, jobs)
    const id = await client.start('count')
    const run = await client.reaches(id, ['succeeded'])
    expect(id).toMatch(/^count-\d+$/)
    expect(statuses(run)).toEqual({ eu: 'succeeded', us: 'succeeded', ap: 'succeeded' })
    expect(run.progress).toMatchObject({ rowsDone: 8010, rowsScanned: 8010, rowsTotal: 8010, ratio: 1 })
    expect(run.proof).toMatchObject({ rowsDone: 8010, rowsChecked: 8010, rowsGone: 0 })
    expect(run.databases?.us?.progress).toMatchObject({ rowsDone: 5000 })
    for (const [name, rows] of [
      ['eu', 3000],
      ['us', 5000],
      ['ap', 10],
    ] as const) {
      await expectTouchedOnce(shards[name] as TestDatabase, rows)
      expect(
        await shards[name]?.query(
          "SELECT id, databases, evenkeel.require_succeeded('count')::text AS gate FROM evenkeel.runs",
        ),
      ).toEqual([{ id, databases: ['eu', 'us', 'ap'], gate: '' }])
    }
    const places = await Promise.all(
      Object.values(shards).map((shard) => shard.value('SELECT created_at::text FROM evenkeel.runs')),
    )
    expect(new Set(places).size).toBe(1)
  })

  test('spans those that are named, and refuses names that there are not', async () => {
    const { shards, jobs } = await createShards({ eu: 10, us: 10 })
    const client = await startOnDatabases(shards, jobs)
    const id = await client.start('touch', { databases: ['us'] })
    expect(statuses(await client.reaches(id, ['succeeded']))).toEqual({ us: 'succeeded' })
    expect(await countDone(shards.eu as TestDatabase)).toBe(0)
    const unknown = await client.call<Problem>('POST', '/runs', { job: 'touch', databases: ['mars', 'eu'] })
    expect([unknown.status, unknown.body.detail]).toEqual([422, expect.stringContaining('mars')])
    expect(unknown.body.detail).toContain('eu, us')
    const elsewhere = await client.call<Problem>('POST', `/runs/${id}/pause?database=eu`)
    expect([elsewhere.status, elsewhere.body.detail]).toEqual([404, expect.stringContaining('has one in us')])
  })

  test('without DATABASES names are refused, and nothing of databases is answered', async () => {
    const database = await createDatabase()
    const client = await startInProcess(database, await createItems(database, 10))
    const named = await client.call<Problem>('POST', '/runs', { job: 'touch', databases: ['eu'] })
    expect([named.status, named.body.detail]).toEqual([422, expect.stringContaining('DATABASES is not set')])
    const id = await client.start('touch')
    await client.reaches(id, ['succeeded'])
    for (const path of [`/runs/${id}`, '/runs', `/runs/${id}/events`, `/runs/${id}/ranges`, '/readyz', '/metrics'])
      expect(JSON.stringify((await client.call('GET', path)).body).replaceAll('"database":"ok"', ''), path).not.toMatch(
        /"database|database=|unreachable/,
      )
    expect(await database.value('SELECT databases FROM evenkeel.runs')).toBeNull()
  })

  test('reads running while one part still is, fails when one has failed, and goes on there alone', async () => {
    const { shards } = await createShards({ eu: 200, us: 6000 })
    for (const shard of Object.values(shards))
      await shard.query("ALTER TABLE items ADD source text NOT NULL DEFAULT '7', ADD number int")
    await shards.eu?.query("UPDATE items SET source = 'seven' WHERE id = 100")
    const jobs = await jobsFolder({
      'cast.ts': jobSource({
        name: 'cast',
        table: 'items',
        rest: 'where: sql`number IS NULL`, set: { number: sql`source::int`, touched: sql`touched + 1` }',
      }),
    })
    const client = await startOnDatabases(shards, jobs)
    const id = await client.start('cast', { options: { maxRowsPerSecond: 2000, maxQuarantined: 0 } })
    const half = await until(
      'the part in eu to fail',
      () => client.run(id),
      (run) => run.databases?.eu?.status === 'failed',
    )
    expect(half.status).toBe('running')
    expect(half.reason).toMatch(/^Database eu is failed: .*seven.*22P02/)
    const failed = await client.reaches(id, ['failed'])
    expect(statuses(failed)).toEqual({ eu: 'failed', us: 'succeeded' })
    expect(failed.proof).toBeNull()
    await expectTouchedOnce(shards.us as TestDatabase, 6000)
    await shards.eu?.query("UPDATE items SET source = '7' WHERE id = 100")
    const pause = await client.call<Problem>('POST', `/runs/${id}/pause`)
    expect(pause.body).toMatchObject({
      status: 409,
      legal: ['cancel', 'retry'],
      from: { eu: 'failed', us: 'succeeded' },
    })
    expect((await client.call('POST', `/runs/${id}/retry`)).status).toBe(200)
    await client.reaches(id, ['succeeded'])
    await expectTouchedOnce(shards.eu as TestDatabase, 200)
    await expectTouchedOnce(shards.us as TestDatabase, 6000)
  })

  test('that has failed in one of them is given up there, and keeps what the others have done', async () => {
    const { shards, jobs } = await createShards({ eu: 200, us: 300 })
    await shards.eu?.query('ALTER TABLE items ADD CONSTRAINT sound CHECK (touched = 0 OR id <> 100)')
    const client = await startOnDatabases(shards, jobs)
    const id = await client.start('count')
    expect(statuses(await client.reaches(id, ['failed']))).toEqual({ eu: 'failed', us: 'succeeded' })
    const { status, body } = await client.call('POST', `/runs/${id}/cancel`, { reason: 'wrong table' })
    expect([status, body.status, statuses(body)]).toEqual([200, 'cancelled', { eu: 'cancelled', us: 'succeeded' }])
    expect(body.reason).toContain('wrong table')
    const retry = await client.call<Problem>('POST', `/runs/${id}/retry`)
    expect(retry.body).toMatchObject({ status: 409, legal: [], from: { eu: 'cancelled', us: 'succeeded' } })
    await expectTouchedOnce(shards.us as TestDatabase, 300)
  })

  test('has the quarantines of all of them in one list; ids are those of one database', async () => {
    const { shards, jobs } = await createShards({ eu: 300, us: 300 })
    for (const shard of Object.values(shards))
      await shard.query('ALTER TABLE items ADD CONSTRAINT sound CHECK (touched = 0 OR id NOT IN (100, 200))')
    const client = await startOnDatabases(shards, jobs)
    const id = await client.start('count')
    const failed = await client.reaches(id, ['failed'])
    expect(failed.progress.quarantined).toBe(4)
    interface Page {
      readonly rows: Array<{ id: string; database: string; key: string[] }>
      readonly next: string | null
    }
    const first = (await client.call<Page>('GET', `/runs/${id}/quarantine?limit=3`)).body
    const rest = (await client.call<Page>('GET', `/runs/${id}/quarantine?limit=3&after=${first.next}`)).body
    const rows = [...first.rows, ...rest.rows]
    expect(rows.map(({ database, key }) => `${database} ${key}`).sort()).toEqual([
      'eu 100',
      'eu 200',
      'us 100',
      'us 200',
    ])

    const ids = rows.filter(({ database }) => database === 'eu').map((row) => row.id)
    const unnamed = await client.call<Problem>('POST', `/runs/${id}/quarantine/retry`, { ids })
    expect([unnamed.status, unnamed.body.detail]).toEqual([422, expect.stringContaining('add ?database=eu')])
    const given = await client.call<{ discarded: number }>('POST', `/runs/${id}/quarantine/discard?database=eu`, {
      ids,
      reason: 'to be deleted',
    })
    expect(given.body.discarded).toBe(2)
    await shards.us?.query('ALTER TABLE items DROP CONSTRAINT sound')
    const all = await client.call<{ retried: number }>('POST', `/runs/${id}/quarantine/retry?database=us`)
    expect(all.body.retried).toBe(2)
    await client.call('POST', `/runs/${id}/retry?database=eu`)
    const run = await client.reaches(id, ['succeeded'])
    expect(run.proof).toMatchObject({ rowsDone: 598, rowsScanned: 600, quarantined: 0, discarded: 2 })
    await expectTouchedOnce(shards.us as TestDatabase, 300)
  })

  test('pauses and resumes in all of them, or in the one that is named; versions tell of every change', async () => {
    const { shards, jobs } = await createShards({ eu: 4000, us: 4000 })
    const client = await startOnDatabases(shards, jobs)
    const id = await client.start('count', runningSlowly)
    await until(
      'rows to be done in both',
      () => client.run(id),
      ({ databases }) => Object.values(databases ?? {}).every((part) => (part.progress?.rowsDone ?? 0) > 0),
    )
    const paused = await client.call('POST', `/runs/${id}/pause`, { reason: 'lunch' })
    expect([paused.body.status, paused.body.reason, statuses(paused.body)]).toEqual([
      'paused',
      'lunch',
      { eu: 'paused', us: 'paused' },
    ])
    const still = await Promise.all(Object.values(shards).map(countDone))
    const again = await client.call<Problem>('POST', `/runs/${id}/pause`)
    expect([again.status, again.body.detail]).toEqual([409, expect.stringContaining('paused in eu, paused in us')])
    expect(await Promise.all(Object.values(shards).map(countDone))).toEqual(still)

    const one = await client.call('POST', `/runs/${id}/resume?database=us`)
    expect(statuses(one.body)).toMatchObject({ eu: 'paused', us: 'queued' })
    expect(one.body.version).toBeGreaterThan(paused.body.version)
    const mixed = await client.reaches(id, ['running'])
    expect(mixed.reason).toBe('Database eu is paused: lunch')

    const stale = await client.call<Problem>('PATCH', `/runs/${id}`, { maxRowsPerSecond: null }, { 'if-match': '"1"' })
    expect(stale.status).toBe(412)
    const only = await client.call('PATCH', `/runs/${id}?database=us`, { parallelism: 3 })
    expect([only.body.databases?.eu?.options?.parallelism, only.body.databases?.us?.options?.parallelism]).toEqual([
      2, 3,
    ])
    const current = only.headers.get('etag') ?? ''
    expect(
      (await client.call('PATCH', `/runs/${id}`, { maxRowsPerSecond: null }, { 'if-match': current })).status,
    ).toBe(200)
    expect((await client.call('PATCH', `/runs/${id}`, { parallelism: 4 }, { 'if-match': current })).status).toBe(412)
    expect((await client.call('POST', `/runs/${id}/resume`)).status).toBe(200)
    await client.reaches(id, ['succeeded'])
    for (const shard of Object.values(shards)) await expectTouchedOnce(shard, 4000)
  })

  test('has the events and ranges of all, in order and page by page, each with its database', async () => {
    const { shards, jobs } = await createShards({ eu: 10, us: 10 })
    const client = await startOnDatabases(shards, jobs, { ROLE: 'api' })
    const id = await client.start('touch')
    for (const database of ['eu', 'us', 'us']) {
      await client.call('POST', `/runs/${id}/pause?database=${database}`)
      await client.call('POST', `/runs/${id}/resume?database=${database}`)
    }
    interface Events {
      readonly events: Array<{ id: string; kind: string; at: string; database: string }>
      readonly next: string | null
    }
    const seen: Events['events'] = []
    for (let next: string | null = '0'; next !== null; ) {
      const { body }: { body: Events } = await client.call<Events>('GET', `/runs/${id}/events?limit=2&after=${next}`)
      seen.push(...body.events)
      next = body.next
    }
    const three = ['pause', 'drained', 'resume']
    const kinds = (database: string) => seen.filter((event) => event.database === database).map((event) => event.kind)
    expect([kinds('eu'), kinds('us')]).toEqual([
      ['created', ...three],
      ['created', ...three, ...three],
    ])
    expect(seen.map((event) => event.at)).toEqual(seen.map((event) => event.at).sort())
    expect(seen.slice(2).map((event) => event.database)).toEqual([...Array(3).fill('eu'), ...Array(6).fill('us')])
    const us = await client.call<Events>('GET', `/runs/${id}/events?database=us`)
    expect(us.body.events).toHaveLength(7)
    expect((await client.call('GET', `/runs/${id}/events?after=mars:1`)).status).toBe(422)
    const ranges = await client.call<{ ranges: Array<{ phase: string; database: string }> }>(
      'GET',
      `/runs/${id}/ranges`,
    )
    expect([...new Set(ranges.body.ranges.map(({ database, phase }) => `${database} ${phase}`))].sort()).toEqual(
      ['eu', 'us'].flatMap((database) =>
        ['keys', 'pages', 'residual', 'stragglers'].map((kind) => `${database} ${kind}`),
      ),
    )
  })

  test('overrides are said to all, and shown once', async () => {
    const { shards, jobs } = await createShards({ eu: 10, us: 10 })
    const client = await startOnDatabases(shards, jobs, { ROLE: 'api' })
    const id = await client.start('touch')
    const override = { signal: 'commit-latency', reason: 'we know', seconds: 60 }
    const all = await client.call('POST', `/runs/${id}/overrides`, override)
    expect(all.body.overrides).toMatchObject([{ signal: 'commit-latency', reason: 'we know', databases: ['eu', 'us'] }])
    const params = { path: { id, signal: 'commit-latency' }, query: { database: 'eu' } } as const
    const one = await bodyOf(client.api.DELETE('/runs/{id}/overrides/{signal}', { params }))
    expect(one.overrides).toMatchObject([{ signal: 'commit-latency', databases: ['us'] }])
  })

  test('a dry run reports each of them, and leaves nothing behind in any', async () => {
    const { shards, jobs } = await createShards({ eu: 100, us: 300 })
    const client = await startOnDatabases(shards, jobs, { ROLE: 'api' })
    const { body } = await client.call<DryRuns>('POST', '/runs', { job: 'touch', dryRun: true })
    expect(Object.entries(body.databases).map(([name, report]) => [name, report.rowsChanged])).toEqual([
      ['eu', 100],
      ['us', 300],
    ])
    for (const shard of Object.values(shards)) {
      expect(await countDone(shard)).toBe(0)
      expect(await shard.value('SELECT count(*)::int FROM evenkeel.runs')).toBe(0)
    }
  })
})

describe('a start over several databases', () => {
  test('is refused with the findings of all at once, and starts in none', async () => {
    const { shards, jobs } = await createShards({ eu: 10, us: 10, ap: 10 })
    await shards.us?.query('DROP TABLE items')
    await shards.ap?.query('ALTER TABLE items DROP COLUMN label')
    const client = await startOnDatabases(shards, jobs, { ROLE: 'api' })
    for (const dryRun of [false, true]) {
      const { status, body } = await client.call<Problem>('POST', '/runs', { job: 'touch', dryRun })
      expect(status).toBe(422)
      expect(body.detail).toContain('us: ')
      expect(body.detail).toContain('ap: ')
      expect(body.detail).not.toContain('eu: ')
      expect(Object.keys(body.databases as object)).toEqual(['us', 'ap'])
    }
    expect(await shards.eu?.value('SELECT count(*)::int FROM evenkeel.runs')).toBe(0)
    const unknown = await client.call<Problem>('POST', '/runs', { job: 'nothing' })
    expect(unknown.body.detail).toBe('There is no job "nothing". Known jobs: count, touch.')
  })

  test('is refused beside a live run of the same in any of them', async () => {
    const { shards, jobs } = await createShards({ eu: 10, us: 10 })
    const client = await startOnDatabases(shards, jobs, { ROLE: 'api' })
    const first = await client.start('touch', { databases: ['us'] })
    const second = await client.call<Problem>('POST', '/runs', { job: 'touch' })
    expect(second.status).toBe(409)
    expect(second.body.detail).toContain(`us: Job touch already has a live run with these parameters: ${first}`)
    expect(await shards.eu?.value('SELECT count(*)::int FROM evenkeel.runs')).toBe(0)
    const third = await client.start('touch', { databases: ['eu'] })
    expect(third).not.toBe(first)
    const fourth = await client.call<Problem>('POST', '/runs', { job: 'touch' })
    expect(fourth.body.detail).toContain(first)
    expect(fourth.body.detail).toContain(third)
    await client.call('POST', `/runs/${first}/cancel`)
    await client.call('POST', `/runs/${third}/cancel`)
    await client.start('touch')
  })

  test('many calls at once under one key start one run in all of them; ids are never given twice', async () => {
    const { shards, jobs } = await createShards({ eu: 10, us: 10, ap: 10 })
    const client = await startOnDatabases(shards, jobs, { ROLE: 'api' })
    const other = await startOnDatabases(Object.fromEntries(Object.entries(shards).reverse()), jobs, { ROLE: 'api' })
    const key = { 'idempotency-key': 'once' }
    const answers = await Promise.all(
      [client, other, client, other].map((one) => one.call('POST', '/runs', { job: 'count' }, key)),
    )
    expect(answers.map((answer) => answer.status)).toEqual([201, 201, 201, 201])
    expect(new Set(answers.map((answer) => answer.body.id)).size).toBe(1)
    for (const shard of Object.values(shards))
      expect(await shard.value('SELECT count(*)::int FROM evenkeel.runs')).toBe(1)
    await client.call('POST', `/runs/${answers[0]?.body.id}/cancel`)

    // Each in a database of its own: only the number could clash.
    const ids = await Promise.all(
      ['eu', 'us', 'ap'].flatMap((name) =>
        ['touch', 'count'].map((job, index) => (index === 0 ? client : other).start(job, { databases: [name] })),
      ),
    )
    expect(new Set(ids.map((id) => id.split('-')[1])).size).toBe(6)
  })

  test('that died half way is completed by the same call under the same key', async () => {
    const { shards, jobs } = await createShards({ eu: 500, us: 500 })
    const client = await startOnDatabases(shards, jobs, { ROLE: 'api' })
    const key = { 'idempotency-key': 'deploy-42' }
    const start = () => client.call('POST', '/runs', { job: 'count', ...runningSlowly }, key)
    const { body } = await start()
    // What a process that dies between two commits leaves: a run that one of its databases has never heard of.
    await shards.us?.query('DELETE FROM evenkeel.runs')
    // Workers near their databases, each of which knows its own only.
    for (const shard of Object.values(shards)) await startInProcess(shard, jobs, { ROLE: 'worker' })

    const half = await client.reaches(body.id, ['running'])
    expect(half.reason).toContain('Database us lacks its shard of the run')
    expect(half.reason).toContain('Idempotency-Key')
    expect(half.databases?.us).toMatchObject({ status: null, progress: null })
    expect(half.progress.etaSeconds).toBeNull()
    await client.call('PATCH', `/runs/${body.id}`, { maxRowsPerSecond: null })
    const whole = await client.reaches(body.id, ['failed'])
    expect(statuses(whole)).toEqual({ eu: 'succeeded', us: null })

    const again = await start()
    expect([again.status, again.body.id, again.headers.get('idempotent-replayed')]).toEqual([201, body.id, 'true'])
    expect(await shards.us?.value('SELECT created_at::text FROM evenkeel.runs')).toBe(
      await shards.eu?.value('SELECT created_at::text FROM evenkeel.runs'),
    )
    await client.reaches(body.id, ['succeeded'])
    for (const shard of Object.values(shards)) await expectTouchedOnce(shard, 500)
  })

  test('that one database takes back at its commit is cancelled in the others, and says so', async () => {
    const { shards, jobs } = await createShards({ eu: 10, us: 10 })
    const client = await startOnDatabases(shards, jobs, { ROLE: 'api' })
    await shards.eu?.query(`CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN RAISE EXCEPTION 'not tonight'; END $$`)
    await shards.eu?.query(`CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON evenkeel.runs
      DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refuse()`)
    const key = { 'idempotency-key': 'half' }
    const { status, body } = await client.call<Problem>('POST', '/runs', { job: 'touch' }, key)
    expect(status).toBe(503)
    expect(body.detail).toContain('not tonight')
    expect(body.detail).toContain('us: cancelled.')
    expect(statuses(await client.run(String(body.run)))).toEqual({ eu: null, us: 'cancelled' })
    expect((await client.run(String(body.run))).status).toBe('cancelled')
    const again = await client.call('POST', '/runs', { job: 'touch' }, key)
    expect([again.body.id, again.body.status]).toEqual([body.run, 'cancelled'])
  })
})

describe('a database that is away', () => {
  test('does not disturb the others: they go on, answers say which one it is, and it goes on when it is back', async () => {
    const { shards, jobs } = await createShards({ eu: 3000, us: 3000 })
    const client = await startOnDatabases(shards, jobs)
    const id = await client.start('count', { options: { maxRowsPerSecond: 1500 } })
    await until(
      'rows to be done in us',
      () => client.run(id),
      (run) => (run.databases?.us?.progress?.rowsDone ?? 0) > 0,
    )
    const open = await cutOff(shards.us as TestDatabase)
    const seen = await until(
      'eu to be done',
      () => client.run(id),
      (run) => run.databases?.eu?.status === 'succeeded',
    )
    await expectTouchedOnce(shards.eu as TestDatabase, 3000)
    expect([seen.status, seen.databases?.us?.status]).toEqual(['running', null])
    expect(seen.reason).toMatch(/^Database us cannot be reached: .*not currently accepting connections/)
    expect(seen.progress.etaSeconds).toBeNull()
    const page = (await client.call<Page>('GET', '/runs')).body
    expect(page.runs.map((run) => [run.id, run.status])).toEqual([[id, 'running']])
    expect(page.unreachable?.map(({ database }) => database)).toEqual(['us'])
    const ready = await client.call<unknown>('GET', '/readyz')
    expect([ready.status, ready.body]).toEqual([200, expect.objectContaining({ ready: true, unreachable: ['us'] })])
    expect(JSON.stringify(ready.body)).not.toContain('accepting')
    const metrics = (await client.call<string>('GET', '/metrics')).body
    expect(metrics).toMatch(/^backfill_runs\{status="succeeded",database="eu"\} 1$/m)
    expect(metrics).not.toMatch(/^backfill_runs\{.*database="us"/m)

    const start = await client.call<Problem>('POST', '/runs', { job: 'touch' })
    expect([start.status, start.body.detail]).toEqual([503, expect.stringContaining('Database us cannot be reached')])
    await client.reaches(await client.start('touch', { databases: ['eu'] }), ['succeeded'])
    const everything = (await client.call<Page>('POST', '/pause')).body
    expect(everything.unreachable?.map(({ database }) => database)).toEqual(['us'])
    await client.call('POST', '/resume')
    const pause = await client.call<Problem>('POST', `/runs/${id}/pause`)
    expect([pause.status, pause.body.detail]).toEqual([503, expect.stringContaining('Database us cannot be reached')])
    const match = await client.call<Problem>(
      'PATCH',
      `/runs/${id}`,
      { batchSize: 10 },
      { 'if-match': `"${seen.version}"` },
    )
    expect(match.status).toBe(503)

    await open()
    const run = await client.reaches(id, ['succeeded'])
    expect(statuses(run)).toEqual({ eu: 'succeeded', us: 'succeeded' })
    await expectTouchedOnce(shards.us as TestDatabase, 3000)
  })

  test('that cannot be told to pause keeps no other from being told, and is named', async () => {
    const { shards, jobs } = await createShards({ eu: 10, us: 10 })
    const client = await startOnDatabases(shards, jobs, { ROLE: 'api' })
    const id = await client.start('touch')
    await shards.us?.query(`CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN RAISE EXCEPTION 'not now'; END $$`)
    await shards.us?.query(
      'CREATE TRIGGER refuse BEFORE UPDATE ON evenkeel.runs FOR EACH ROW EXECUTE FUNCTION refuse()',
    )
    const pause = await client.call<Problem>('POST', `/runs/${id}/pause`)
    expect([pause.status, pause.body.detail]).toEqual([
      503,
      expect.stringContaining('Database us cannot be used; the log says why'),
    ])
    expect(statuses(await client.run(id))).toEqual({ eu: 'paused', us: 'queued' })
    // What all must agree to, one keeps from all.
    expect((await client.call('PATCH', `/runs/${id}`, { parallelism: 3 })).status).toBe(500)
    expect((await client.run(id)).databases?.eu?.options?.parallelism).toBe(2)
    const everything = (await client.call<Page>('POST', '/pause')).body
    expect(everything.unreachable?.map(({ database }) => database)).toEqual(['us'])
    expect(await shards.eu?.value('SELECT count(*)::int FROM evenkeel.global_pause')).toBe(1)
  })

  test('that takes every word and gives none back is answered for without it, in bounded time', async () => {
    const { shards, jobs } = await createShards({ eu: 10, us: 10 })
    const line = await openLine(shards.us as TestDatabase)
    const client = await startOnDatabases({ ...shards, us: { url: line.url } }, jobs, { ROLE: 'api' })
    const id = await client.start('touch')
    line.silence()
    const asked = performance.now()
    const run = await client.run(id)
    const ready = await client.call<unknown>('GET', '/readyz')
    const metrics = (await client.call<string>('GET', '/metrics')).body
    expect((performance.now() - asked) / 1000).toBeLessThan(30)
    expect(statuses(run)).toEqual({ eu: 'queued', us: null })
    expect(run.databases?.us?.reason).toBe('Database us cannot be reached: no answer within 5 s.')
    expect(ready.body).toMatchObject({ ready: true, unreachable: ['us'] })
    expect(metrics).toMatch(/^backfill_runs\{status="queued",database="eu"\} 1$/m)
    line.cut()
  })

  test('when all are away nothing can be said, and readiness says so', async () => {
    const { shards, jobs } = await createShards({ eu: 10, us: 10 })
    const client = await startOnDatabases(shards, jobs, { ROLE: 'api' })
    const id = await client.start('touch')
    for (const shard of Object.values(shards)) await cutOff(shard)
    expect((await client.call('GET', '/readyz')).status).toBe(503)
    const answer = await client.call<Problem>('GET', `/runs/${id}`)
    expect([answer.status, answer.body.detail]).toEqual([503, expect.stringContaining('cannot be reached')])
  })

  test('at the start every one that cannot be used is named, without its password, and none is started on', async () => {
    const { shards, jobs } = await createShards({ eu: 10 })
    const gone = (name: string) => ({ url: (shards.eu as TestDatabase).url.replace(/\/\w+$/, `/${name}`) })
    const start = startOnDatabases({ ...shards, us: gone('nowhere'), ap: gone('not_there') }, jobs)
    const { message } = await start.then(
      () => new Error('it started'),
      (error: Error) => error,
    )
    expect(message).toContain('- us: database "nowhere" does not exist')
    expect(message).toContain('- ap: database "not_there" does not exist')
    expect(message).not.toContain('- eu')
    const { password } = new URL((shards.eu as TestDatabase).url)
    if (password) expect(message).not.toContain(password)
  })

  test('two names of one database are refused at the start', async () => {
    const { shards, jobs } = await createShards({ eu: 10 })
    const twin = new URL((shards.eu as TestDatabase).url)
    twin.searchParams.set('application_name', 'twin')
    await expect(startOnDatabases({ ...shards, us: { url: twin.href } }, jobs)).rejects.toThrow(
      'eu and us: both have the control schema',
    )
  })
})

describe('runs of several databases in one list', () => {
  async function list(client: Client, query: string): Promise<string[]> {
    const ids: string[] = []
    for (let before: string | null = ''; before !== null; ) {
      const page: Page = (await client.call<Page>('GET', `/runs?${query}${before ? `&before=${before}` : ''}`)).body
      ids.push(...page.runs.map((run) => `${run.id} ${Object.keys(run.databases ?? {}).join('+')}`))
      before = page.next
    }
    return ids
  }

  test('are each there once, newest first, page by page, also by their one status', async () => {
    const { shards, jobs } = await createShards({ eu: 10, us: 10 })
    const client = await startOnDatabases(shards, jobs, { ROLE: 'api' })
    const all: string[] = []
    for (let i = 0; i < 4; i += 1) {
      for (const databases of [['eu'], ['us'], ['eu', 'us']]) {
        const id = await client.start('touch', { databases })
        all.unshift(`${id} ${databases.join('+')}`)
        await client.call('POST', `/runs/${id}/cancel`)
      }
    }
    const half = await client.start('count')
    await client.call('POST', `/runs/${half}/cancel?database=us`)
    all.unshift(`${half} eu+us`)
    for (const limit of [1, 2, 3, 5, 50]) expect(await list(client, `limit=${limit}`), String(limit)).toEqual(all)
    expect(await list(client, 'limit=3&status=cancelled')).toEqual(all.slice(1))
    expect(await list(client, 'limit=3&status=queued')).toEqual(all.slice(0, 1))
    expect(await list(client, 'job=count')).toEqual(all.slice(0, 1))
  })

  test('databases that were worked on apart keep their runs: one id may be two, and is told apart by the database', async () => {
    const { shards, jobs } = await createShards({ ap: 10, eu: 10, us: 10 })
    for (const [name, runs] of [
      ['ap', 1],
      ['eu', 2],
      ['us', 1],
    ] as const) {
      const alone = await startInProcess(shards[name] as TestDatabase, jobs)
      for (let i = 0; i < runs; i += 1) await alone.reaches(await alone.start('touch'), ['succeeded'])
      await alone.service.close()
    }
    const client = await startOnDatabases(shards, jobs)
    expect(await list(client, 'limit=1')).toEqual(['touch-2 eu', 'touch-1 us', 'touch-1 eu', 'touch-1 ap'])
    const both = await client.call<Problem>('GET', '/runs/touch-1')
    expect([both.status, both.body.detail]).toEqual([409, expect.stringContaining('?database=')])
    const one = await client.call('GET', '/runs/touch-1?database=us')
    expect(statuses(one.body)).toEqual({ us: 'succeeded' })
    const next = await client.start('count')
    // Above the numbers of all; and so will be what each of them gives out alone.
    expect(next).toBe('count-3')
    await client.reaches(next, ['succeeded'])
    await client.service.close()
    for (const shard of Object.values(shards)) {
      const alone = await startInProcess(shard, jobs, { ROLE: 'api' })
      expect(Number((await alone.start('touch')).split('-')[1])).toBeGreaterThan(3)
      await alone.service.close()
    }
  })
})

test('everything can be paused and resumed at once, in all of them', async () => {
  const { shards, jobs } = await createShards({ eu: 3000, us: 3000 })
  const client = await startOnDatabases(shards, jobs)
  const touch = await client.start('touch', runningSlowly)
  const count = await client.start('count', { databases: ['us'], ...runningSlowly })
  const paused = (await client.call<Page>('POST', '/pause', { reason: 'incident' })).body
  expect(paused.runs.map((run) => [run.id, run.status, run.reason])).toEqual([
    [touch, 'paused', 'incident'],
    [count, 'paused', 'incident'],
  ])
  expect(paused).not.toHaveProperty('unreachable')
  for (const shard of Object.values(shards))
    expect(await shard.value('SELECT reason FROM evenkeel.global_pause')).toBe('incident')
  const resumed = (await client.call<Page>('POST', '/resume')).body
  expect(resumed.runs.map((run) => run.id)).toEqual([touch, count])
  await client.reaches(touch, ['running'])
})

test('metrics have the database on each series of one, and the process once', async () => {
  const { shards, jobs } = await createShards({ eu: 100, us: 100 })
  const client = await startOnDatabases(shards, jobs)
  await client.reaches(await client.start('touch'), ['succeeded'])
  const { body } = await client.call<string>('GET', '/metrics')
  const series = body.split('\n').filter((line) => /^backfill_(?!http_|build_info)/.test(line))
  for (const line of series) expect(line).toMatch(/database="(eu|us)"/)
  for (const name of ['eu', 'us'])
    expect(body).toMatch(
      new RegExp(`^backfill_rows_total\\{job_name="touch",outcome="done",database="${name}"\\} 100$`, 'm'),
    )
  for (const type of [
    'TYPE backfill_rows_total',
    'TYPE backfill_batch_duration_seconds',
    'TYPE process_cpu_seconds_total',
  ])
    expect(body.split(type), type).toHaveLength(2)
  expect(body).not.toMatch(/^process_.*database/m)
})
