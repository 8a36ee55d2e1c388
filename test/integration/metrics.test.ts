import { readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { createDatabase, type TestDatabase } from '../support/database.ts'
import { type Metric, type Sample, scrape } from '../support/exposition.ts'
import { createItems } from '../support/items.ts'
import { startProxy } from '../support/proxy.ts'
import { type Client, jobSource, jobsFolder, startInProcess, startOnDatabases, unpaced } from '../support/service.ts'
import { until } from '../support/until.ts'

interface Row {
  readonly type: string
  readonly labels: readonly string[]
  readonly whose: string
}

/** The table of docs/metrics.md, by name. */
async function documented(): Promise<Map<string, Row>> {
  const page = await readFile(new URL('../../docs/metrics.md', import.meta.url), 'utf8')
  const rows = page.matchAll(/^\| `(backfill_\w+)` +\| (\w+) +\| (.*?) *\| (\w+) +\|/gm)
  const words = (cell: string) => [...cell.matchAll(/`(\w+)`/g)].map(([, word]) => String(word))
  return new Map(
    [...rows].map(([, name, type, labels, whose]) => [
      String(name),
      { type: String(type), labels: words(String(labels)), whose: String(whose) },
    ]),
  )
}

function ours(metrics: ReadonlyMap<string, Metric>): Map<string, Metric> {
  return new Map([...metrics].filter(([name]) => name.startsWith('backfill_')))
}

function series(metrics: ReadonlyMap<string, Metric>): Sample[] {
  return [...ours(metrics).values()].flatMap(({ samples }) => samples)
}

function value(metrics: ReadonlyMap<string, Metric>, name: string, labels: Record<string, string> = {}) {
  const wanted = Object.entries(labels)
  const found = metrics
    .get(name)
    ?.samples.filter((sample) => wanted.every(([label, is]) => sample.labels[label] === is))
  expect(found?.length ?? 0, `series of ${name}`).toBeLessThanOrEqual(1)
  return found?.[0]?.value
}

/** What a process counts of a job, with the sum of its series; but for buckets without one. */
function startOf(metrics: ReadonlyMap<string, Metric>, job_name: string): Record<string, number> {
  const counted = [...ours(metrics)].flatMap(([name, { type, samples }]) => {
    const own = samples.filter(({ labels }) => labels.job_name === job_name)
    return type === 'gauge' || own.length === 0 ? [] : [[name, own.reduce((sum, { value }) => sum + value, 0)] as const]
  })
  return Object.fromEntries(counted)
}

/** What is to be counted of a job, at 0. */
async function countedOf(job_name: string): Promise<Record<string, number>> {
  const counted = [...(await documented())].filter(
    ([, { type, labels, whose }]) => type !== 'gauge' && whose === 'own' && labels.includes('job_name'),
  )
  expect(counted.length, `counters and histograms of ${job_name}`).toBeGreaterThan(5)
  return Object.fromEntries(counted.map(([name]) => [name, 0]))
}

/** A run that goes on for a while, far enough for everything to be told of it. */
async function startRunning(client: Client, job: string): Promise<string> {
  const id = await client.start(job, { options: { maxRowsPerSecond: 2000 } })
  let fastest = 0
  await until(
    'the time left to be known',
    () => client.run(id),
    ({ progress }) => {
      fastest = Math.max(fastest, progress.rowsPerSecond)
      return progress.etaSeconds !== null
    },
  )
  // Its first batches take milliseconds, and are no sign of a hundred thousand rows a second.
  expect(fastest).toBeLessThan(4000)
  return id
}

describe('metrics', () => {
  test('are those of the table in the docs: name, type, labels', async () => {
    const database = await createDatabase()
    const client = await startInProcess(database, await createItems(database, 40_000, { paced: true }))
    const id = await startRunning(client, 'touch')
    const told = ours(await scrape(client))
    const table = await documented()
    expect([...told.keys()].sort()).toEqual([...table.keys()].sort())
    for (const [name, { type, labels }] of table) {
      const metric = told.get(name)
      expect(metric?.type, name).toBe(type)
      expect(metric?.samples.length, `series of ${name}`).toBeGreaterThan(0)
      for (const sample of metric?.samples ?? [])
        expect(
          Object.keys(sample.labels)
            .filter((label) => label !== 'le')
            .sort(),
          name,
        ).toEqual([...labels].sort())
    }
    expect(JSON.stringify(series(told))).not.toContain(id)
  })

  test('tell a run while it is live, its job afterwards, and what was counted for good', async () => {
    const database = await createDatabase()
    const client = await startInProcess(database, await createItems(database, 20_000))
    const job_name = 'touch'
    const before = await scrape(client)
    expect(startOf(before, job_name)).toEqual(await countedOf(job_name))
    const id = await startRunning(client, job_name)
    const during = await scrape(client)
    expect(value(during, 'backfill_runs', { status: 'running' })).toBe(1)
    expect(value(during, 'backfill_runs', { status: 'failed' })).toBe(0)
    expect(value(during, 'backfill_job_status', { job_name, status: 'running' })).toBe(1)
    expect(value(during, 'backfill_job_status', { job_name, status: 'succeeded' })).toBe(0)
    const ratio = value(during, 'backfill_run_progress_ratio', { job_name }) ?? 0
    expect(ratio).toBeGreaterThan(0)
    expect(ratio).toBeLessThan(1)
    expect(value(during, 'backfill_run_rows_per_second', { job_name })).toBeGreaterThan(100)
    expect(value(during, 'backfill_run_rows_per_second_limit', { job_name })).toBe(2000)
    expect(value(during, 'backfill_run_eta_seconds', { job_name })).toBeLessThan(60)
    expect(value(during, 'backfill_run_quarantine_limit', { job_name })).toBe(100)
    expect(value(during, 'backfill_slowed', { job_name, signal: 'rate' })).toBe(1)
    expect(value(during, 'backfill_slowed', { job_name, signal: 'deadlock' })).toBe(0)
    expect(value(during, 'backfill_held', { job_name, signal: 'replica-lag' })).toBe(0)
    expect(value(during, 'backfill_last_checkpoint_timestamp_seconds', { job_name })).toBeGreaterThan(
      Date.now() / 1000 - 60,
    )
    expect(value(during, 'backfill_run_event_timestamp_seconds', { job_name, event: 'start' })).toBeGreaterThan(
      Date.now() / 1000 - 60,
    )
    expect(value(during, 'backfill_worker_slots')).toBe(4)
    expect(value(during, 'backfill_worker_slots_busy')).toBeGreaterThan(0)
    expect(value(during, 'backfill_pool_connections', { pool: 'engine', state: 'busy' })).toBeGreaterThan(0)
    expect(value(during, 'backfill_pool_connections_limit', { pool: 'engine' })).toBe(6)
    expect(value(during, 'backfill_pool_connections_limit', { pool: 'metrics' })).toBe(2)
    expect(value(during, 'backfill_pool_waiting', { pool: 'metrics' })).toBeDefined()
    expect(value(during, 'backfill_wal_bytes_total')).toBeGreaterThan(
      value(before, 'backfill_wal_bytes_total') ?? Number.POSITIVE_INFINITY,
    )
    const ranges = during.get('backfill_run_ranges')?.samples ?? []
    expect(ranges).toHaveLength(20)
    expect(ranges.reduce((total, { value }) => total + value, 0)).toBe(
      await database.value<number>('SELECT count(*)::int FROM evenkeel.ranges'),
    )

    await client.call('PATCH', `/runs/${id}`, { maxRowsPerSecond: null })
    await client.reaches(id, ['succeeded'])
    const after = await scrape(client)
    const gone = [...(await documented())].filter(
      ([name, { labels, whose }]) =>
        whose === 'shared' && labels.includes('job_name') && !/job_status|quarantine|event_timestamp/.test(name),
    )
    expect(gone.length).toBeGreaterThan(8)
    for (const [name] of gone) expect(after.get(name)?.samples, `${name} of an ended run`).toEqual([])
    expect(value(after, 'backfill_job_status', { job_name, status: 'succeeded' })).toBe(1)
    expect(value(after, 'backfill_job_status', { job_name, status: 'running' })).toBe(0)
    expect(value(after, 'backfill_run_event_timestamp_seconds', { job_name, event: 'succeed' })).toBeDefined()
    expect(value(after, 'backfill_rows_total', { job_name, outcome: 'done' })).toBe(20_000)
    const batches = after
      .get('backfill_batch_duration_seconds')
      ?.samples.find(({ name, labels }) => name.endsWith('_count') && labels.job_name === job_name)
    expect(batches?.value).toBeGreaterThan(0)
  })

  test('a job that comes later is counted from 0 as well, where it is worked on', async () => {
    const database = await createDatabase()
    const jobs = await createItems(database, 10)
    const both = await startInProcess(database, jobs)
    const api = await startInProcess(database, jobs, { ROLE: 'api' })
    expect(startOf(await scrape(both), 'late')).toEqual({})
    const rest = 'set: { touched: sql`touched + 1` }'
    await writeFile(join(jobs, 'late.ts'), jobSource({ name: 'late', table: 'items', rest }))
    expect(startOf(await scrape(both), 'late')).toEqual(await countedOf('late'))
    expect(startOf(await scrape(api), 'late')).toEqual({})
    // Without the folder there is all else.
    await rename(jobs, `${jobs}-away`)
    const without = await scrape(both)
    await rename(`${jobs}-away`, jobs)
    expect(value(without, 'backfill_database_up')).toBe(1)
    expect(startOf(without, 'late')).toEqual(await countedOf('late'))
  })

  test('a job whose last run ended long ago is told of no more, unless that has failed', async () => {
    const database = await createDatabase()
    await createItems(database, 10)
    const jobs = await jobsFolder({
      'well.ts': jobSource({ name: 'well', table: 'items', rest: 'set: { touched: sql`touched + 1` }' }),
      'ill.ts': jobSource({ name: 'ill', table: 'items', rest: 'set: { touched: sql`1 / (id - 1)` }' }),
    })
    const client = await startInProcess(database, jobs)
    const told = async () => {
      const metrics = await scrape(client)
      return ['backfill_job_status', 'backfill_run_quarantined'].map((name) =>
        [...new Set(metrics.get(name)?.samples.map(({ labels }) => labels.job_name))].sort(),
      )
    }
    await client.reaches(await client.start('well'), ['succeeded'])
    await client.reaches(await client.start('ill', { options: { maxQuarantined: 0 } }), ['failed'])
    const end = (days: number) => database.query(`UPDATE evenkeel.runs SET ended_at = now() - interval '${days} days'`)
    await end(29)
    expect(await told()).toEqual([
      ['ill', 'well'],
      ['ill', 'well'],
    ])
    await end(31)
    expect(await told()).toEqual([['ill'], ['ill']])
    expect(value(await scrape(client), 'backfill_job_status', { job_name: 'ill', status: 'failed' })).toBe(1)
  })

  test('a job whose last run has failed reads so until it is run again', async () => {
    const database = await createDatabase()
    await createItems(database, 10)
    const rest =
      'params: z.object({ part: z.number() }), set: ({ part }) => ({ touched: sql`1 / (id - ${part}::int)` })'
    const jobs = await jobsFolder({ 'divide.ts': jobSource({ name: 'divide', table: 'items', rest }) })
    const client = await startInProcess(database, jobs)
    const statuses = async () =>
      ((await scrape(client)).get('backfill_job_status')?.samples ?? [])
        .filter(({ value }) => value === 1)
        .map(({ labels }) => labels.status)
    const id = await client.start('divide', { params: { part: 1 }, options: { maxQuarantined: 0 } })
    await client.reaches(id, ['failed'])
    expect(await statuses()).toEqual(['failed'])
    expect(value(await scrape(client), 'backfill_run_quarantined', { job_name: 'divide' })).toBe(0)
    // Others of the job, with other parameters, neither hide it nor make it good.
    const other = await client.start('divide', { params: { part: 11 } })
    await client.reaches(other, ['succeeded'])
    expect(await statuses()).toEqual(['succeeded', 'failed'])
    await client.call('POST', '/pause')
    const again = await client.start('divide', { params: { part: 1 } })
    expect(await statuses()).toEqual(['queued'])
    await client.call('POST', `/runs/${again}/cancel`)
    await client.reaches(again, ['cancelled'])
    expect(await statuses()).toEqual(['cancelled'])
  })

  test('limits are those that count: none that is overridden, and none of a run that waits for its schedule', async () => {
    const database = await createDatabase()
    const client = await startInProcess(database, await createItems(database, 40_000, { paced: true }))
    const options = { maxRowsPerSecond: 500, signals: { snapshot: 3600 } }
    const id = await client.start('touch', { options })
    const untilLimit = (limit: number | undefined) =>
      until(
        `the limit to be ${limit}`,
        async () => value(await scrape(client), 'backfill_signal_limit', { signal: 'snapshot', limit: 'hard' }),
        (now) => now === limit,
      )
    await untilLimit(3600)
    const override = { signal: 'snapshot', reason: 'a test', seconds: 600 }
    expect((await client.call('POST', `/runs/${id}/overrides`, override)).status).toBe(200)
    await untilLimit(undefined)
    expect((await client.call('DELETE', `/runs/${id}/overrides/snapshot`)).status).toBe(200)
    await untilLimit(3600)
    const schedule = { cron: '* * 29 2 *', timeZone: 'UTC' }
    const waiting = await client.start('count', { options: { schedule, signals: { snapshot: 1800 } } })
    await until(
      'it to wait for its schedule',
      () => client.run(waiting),
      ({ throttle }) => throttle?.signal === 'schedule',
    )
    await untilLimit(3600)
  })

  test('of a run that is held beside one that goes on, only the limit of what holds it counts', async () => {
    const database = await createDatabase()
    const client = await startInProcess(database, await createItems(database, 40_000, { paced: true }))
    const slow = { maxRowsPerSecond: 50 }
    const limits = async () => {
      const metrics = await scrape(client)
      return ['snapshot', 'blocked'].map((signal) => value(metrics, 'backfill_signal_limit', { signal, limit: 'hard' }))
    }
    const untilLimits = (snapshot: number, blocked: number) =>
      until('the limits to follow', limits, (now) => now[0] === snapshot && now[1] === blocked)
    const strict = await client.start('touch', { options: { ...slow, signals: { snapshot: 1, blocked: 1000 } } })
    const reader = await database.session()
    await reader.query('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT')
    await until(
      'it to be held',
      () => client.run(strict),
      ({ throttle }) => throttle?.signal === 'snapshot',
    )
    await untilLimits(1, 1000)
    const other = await client.start('count', { options: { ...slow, signals: { snapshot: false, blocked: 2000 } } })
    await untilLimits(1, 2000)
    await client.call('POST', `/runs/${other}/cancel`)
    await untilLimits(1, 1000)
    await reader.query('ROLLBACK')
  })

  test('of a database that does not answer there are none, but for that; and they are back with it', async () => {
    const database = await createDatabase()
    const proxy = await startProxy(database.url)
    const client = await startInProcess({ url: proxy.url }, await createItems(database, 10))
    expect(value(await scrape(client), 'backfill_database_up')).toBe(1)
    proxy.refuse()
    proxy.cut()
    const away = await until(
      'the database to be away',
      () => scrape(client),
      (metrics) => value(metrics, 'backfill_database_up') === 0,
    )
    for (const [name, { whose }] of await documented())
      if (whose === 'shared' && name !== 'backfill_queue_tickets') expect(away.get(name)?.samples, name).toEqual([])
    expect(value(away, 'backfill_worker_slots')).toBe(4)
    proxy.heal()
    await until(
      'the database to be back',
      () => scrape(client),
      (metrics) => value(metrics, 'backfill_runs', { status: 'running' }) === 0,
    )
  })

  test('a database that hangs is down within the time of a scrape, and the numbers of others are there', async () => {
    const [hung, well] = [await createDatabase(), await createDatabase()]
    const jobs = await createItems(hung, 10)
    const proxy = await startProxy(hung.url)
    const client = await startOnDatabases({ hung: { url: proxy.url }, well }, jobs)
    const up = async () => {
      const metrics = await scrape(client)
      return ['hung', 'well'].map((database) => value(metrics, 'backfill_database_up', { database }))
    }
    expect(await up()).toEqual([1, 1])
    proxy.blackhole()
    // Of 5 s, the shortest scrape timeout that the set-up has.
    const scrapes = Array.from({ length: 3 }, async () => {
      const answer = await fetch(new URL('/metrics', client.url), { signal: AbortSignal.timeout(4500) })
      return answer.text()
    })
    for (const text of await Promise.all(scrapes)) {
      expect(text).toContain('backfill_database_up{database="hung"} 0')
      expect(text).toContain('backfill_database_up{database="well"} 1')
      expect(text).toMatch(/^backfill_runs\{.*database="well"/m)
      expect(text).not.toMatch(/^backfill_runs\{.*database="hung"/m)
    }
    proxy.heal()
    await until('it to be up again', up, (both) => both.every((one) => one === 1))
  })

  test('a snapshot that takes long is left out, does not pile up, and makes no database down', async () => {
    const database = await createDatabase()
    const client = await startInProcess(database, await createItems(database, 10), { ROLE: 'api' })
    await client.start('touch')
    await database.query('ALTER TABLE evenkeel.ranges RENAME TO swift_ranges')
    await database.query(
      'CREATE VIEW evenkeel.ranges AS SELECT * FROM evenkeel.swift_ranges WHERE (SELECT pg_sleep(2.5)::text) IS NOT NULL',
    )
    for (let times = 1; times <= 4; times += 1) {
      const metrics = await scrape(client)
      expect(value(metrics, 'backfill_database_up')).toBe(1)
      expect(metrics.get('backfill_runs')?.samples).toEqual([])
      const counting = await database.value<number>(
        "SELECT count(*)::int FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'evenkeel metrics' AND state = 'active'",
      )
      expect(counting).toBeLessThanOrEqual(1)
    }
    await database.query('DROP VIEW evenkeel.ranges')
    await database.query('ALTER TABLE evenkeel.swift_ranges RENAME TO ranges')
    await until(
      'the snapshot to be back',
      () => scrape(client),
      (metrics) => value(metrics, 'backfill_runs', { status: 'queued' }) === 1,
    )
  })

  test('of the tables of live runs, the worst is told', async () => {
    const database = await createDatabase()
    await createItems(database, 20_000)
    await database.query(
      'CREATE TABLE worn (id int PRIMARY KEY, touched int NOT NULL DEFAULT 0) WITH (autovacuum_enabled = off)',
    )
    await database.query('INSERT INTO worn SELECT generate_series(1, 5000)')
    for (let times = 1; times <= 2; times += 1) await database.query('UPDATE worn SET touched = 0')
    await database.query('ANALYZE worn')
    const rest = 'set: { touched: sql`touched + 1` }'
    const jobs = await jobsFolder({
      'clean.ts': jobSource({ name: 'clean', table: 'items', rest, paced: true }),
      'worn.ts': jobSource({ name: 'worn', table: 'worn', rest, paced: true }),
    })
    const client = await startInProcess(database, jobs)
    await client.start('clean', { options: { maxRowsPerSecond: 500 } })
    const deadTuples = async () => value(await scrape(client), 'backfill_signal', { signal: 'dead-tuples' })
    await until('the clean table to be known', deadTuples, (part) => part !== undefined && part < 0.2)
    await client.start('worn', { options: { maxRowsPerSecond: 50 } })
    await until('the worn one to be told', deadTuples, (part) => part !== undefined && part > 0.5)
  })

  test('answers are counted by route as it is written, and what is asked for in vain is one series', async () => {
    const database = await createDatabase()
    const client = await startInProcess(database, await createItems(database, 10))
    const count = async (labels: Record<string, string>) =>
      value(await scrape(client), 'backfill_http_requests_total', labels)
    const route = '/runs/:id'
    expect(await count({ method: 'GET', route, status: '4xx' })).toBe(0)
    for (const id of ['touch-1', 'touch-2', 'touch-3']) await client.call('GET', `/runs/${id}`)
    expect(await count({ method: 'GET', route, status: '4xx' })).toBe(3)
    const before = series(await scrape(client)).length
    for (const path of ['/a', '/b', '/c', '/runs/x/y/z']) await client.call('GET', path)
    expect(await count({ method: 'GET', route: 'none', status: '4xx' })).toBe(4)
    const more = series(await scrape(client)).length - before
    await client.call('GET', '/d')
    expect(series(await scrape(client)).length - before).toBe(more)
  })

  test('do not grow with the number of runs: twenty jobs, a thousand runs', async () => {
    const database = await createDatabase()
    const names = Array.from({ length: 20 }, (_, index) => `job-${index}`)
    await createTables(database, names)
    const files = names.map((name, index) => [
      `${name}.ts`,
      jobSource({ name, table: `t${index}`, rest: 'set: { touched: sql`touched + 1` }' }),
    ])
    const client = await startInProcess(database, await jobsFolder(Object.fromEntries(files)))
    const runAll = async () => {
      const ids = await Promise.all(
        names.map((name) => client.start(name, { again: true, options: { ...unpaced, parallelism: 1 } })),
      )
      for (const id of ids) await client.reaches(id, ['succeeded'])
      // Of events there is one for each kind that happened of late, of signals one for each that is known; and what Node tells of
      // itself has one for each kind of thing that is open at the moment.
      const passing = /^backfill_(run_event_timestamp_seconds|signal(_known|_limit)?)$/
      const ours = series(await scrape(client)).filter(({ name }) => name.startsWith('backfill_'))
      return ours
        .filter(({ name }) => !passing.test(name))
        .map(({ name, labels }) => `${name}${JSON.stringify(labels)}`)
    }
    await runAll()
    const after40 = await runAll()
    // What has ended is rows, and these are the rows of 48 more rounds.
    for (const round of Array.from({ length: 48 }, (_, index) => index)) await repeatRuns(database, round)
    const after1000 = await runAll()
    expect(await database.value<number>('SELECT count(*)::int FROM evenkeel.runs')).toBe(1020)
    expect(after1000.toSorted()).toEqual(after40.toSorted())
    expect(after1000.length).toBeLessThan(2500)
  })
})

/** Writes the first twenty runs down once more, under new ids, with their ranges and events. */
async function repeatRuns(database: TestDatabase, round: number): Promise<void> {
  const tables = { runs: 'id', ranges: 'run_id', events: 'run_id' }
  const first = `(SELECT id FROM evenkeel.runs WHERE id NOT LIKE 'again-%' ORDER BY created_at, id LIMIT 20)`
  for (const [table, id] of Object.entries(tables)) {
    const identity = table === 'events' ? `, 'id', (row.id + ${(round + 1) * 100_000})` : ''
    await database.query(
      `INSERT INTO evenkeel.${table} OVERRIDING SYSTEM VALUE SELECT (jsonb_populate_record(row, jsonb_build_object('${id}', 'again-${round}-' || row.${id}${identity}))).*
       FROM evenkeel.${table} row WHERE row.${id} IN ${first}`,
    )
  }
}

async function createTables(database: TestDatabase, names: readonly string[]): Promise<void> {
  for (const index of names.keys()) {
    await database.query(`CREATE TABLE t${index} (id int PRIMARY KEY, touched int NOT NULL DEFAULT 0)`)
    await database.query(`INSERT INTO t${index} SELECT generate_series(1, 3)`)
  }
}
