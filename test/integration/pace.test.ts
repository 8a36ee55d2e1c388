import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { expect, test } from 'vitest'
import { createDatabase, type TestDatabase } from '../support/database.ts'
import { createItems } from '../support/items.ts'
import { type Client, jobSource, jobsFolder, spawnService, startInProcess, unpaced } from '../support/service.ts'
import { until } from '../support/until.ts'

const rows = 20_000

/** A second, and what a machine needs that tests three things at once; what must not be waited for is five seconds and more. */
const aSecondMs = 4000

/** Two tables that nobody vacuums but the test: every change leaves a dead tuple behind. */
async function createTables(database: TestDatabase, { paced = false } = {}): Promise<string> {
  for (const table of ['items', 'others']) {
    await database.query(
      `CREATE TABLE ${table} (id int PRIMARY KEY, touched int NOT NULL DEFAULT 0) WITH (autovacuum_enabled = off)`,
    )
    await database.query(`INSERT INTO ${table} SELECT generate_series(1, $1::int)`, [rows])
    await database.query(`VACUUM ANALYZE ${table}`)
  }
  const job = (table: string) => jobSource({ name: table, table, paced, rest: 'set: { touched: sql`touched + 1` }' })
  return jobsFolder({ 'items.ts': job('items'), 'others.ts': job('others') })
}

/** Small batches, slow enough to be looked at, held as soon as a tenth of the table is dead. */
const heldByDeadTuples = { batchSize: 100, maxRowsPerSecond: 5000, signals: { 'dead-tuples': 0.1 } }

function heldBy(client: Client, id: string, signal: string) {
  return until(
    `run ${id} to be held by ${signal}`,
    () => client.run(id),
    // Held, not slowed: the pace names the same signal from its soft limit on.
    ({ throttle, status }) =>
      throttle?.signal === signal && !/on the pace/.test(throttle.reason) && status !== 'paused',
  )
}

/** The rows that are done, once they no longer change: nothing of a held run is in flight. */
async function settledRows(database: TestDatabase, table = 'items'): Promise<number> {
  const count = () => database.value<number>(`SELECT sum(touched)::int FROM ${table}`)
  let last = -1
  return until('no more rows to be done', count, (now) => {
    const still = now === last
    last = now
    return still
  })
}

test('a signal over its limit holds a run, says why, gives its workers to others, and lets it go on by itself', async () => {
  const database = await createDatabase()
  const client = await startInProcess(database, await createTables(database))
  const id = await client.start('items', { options: { ...heldByDeadTuples, parallelism: 8 } })
  const held = await heldBy(client, id, 'dead-tuples')
  expect(held.status).toBe('running')
  expect(held.throttle).toMatchObject({ signal: 'dead-tuples', limit: 0.1 })
  expect(held.throttle?.value).toBeGreaterThanOrEqual(0.1)
  expect(held.throttle?.reason).toContain('the limit is 10 %')
  expect(Date.parse(held.throttle?.since ?? '')).toBeGreaterThan(Date.parse(held.createdAt))
  const done = await settledRows(database)
  expect(done).toBeGreaterThan(0)
  expect(done).toBeLessThan(rows)

  // All slots of the process are free: a run with as much parallelism gets through meanwhile.
  await client.reaches(await client.start('others', { options: { parallelism: 4 } }), ['succeeded'])
  expect(await settledRows(database)).toBe(done)
  const waiting = await client.run(id)
  expect(waiting.progress.rowsPerSecond).toBe(0)
  expect(waiting.progress.throttledSeconds).toBeGreaterThan(1)
  const { body: metrics } = await client.call<string>('GET', '/metrics')
  expect(metrics).toContain('backfill_held{job_name="items",signal="dead-tuples"} 1')
  expect(metrics).toMatch(/backfill_throttled_seconds_total\{job_name="items",signal="dead-tuples"\} \d*\.?\d*[1-9]/)

  // Each vacuum is worth another tenth.
  const ended = await until(
    'the run to succeed',
    async () => {
      await database.query('VACUUM items')
      return client.run(id)
    },
    ({ status }) => status === 'succeeded',
  )
  expect(ended.throttle).toBeNull()
  expect(ended.progress.throttledSeconds).toBeGreaterThan(waiting.progress.throttledSeconds)
  const events = await client.events(id)
  expect(events.find(({ kind }) => kind === 'held')?.detail).toMatchObject({ signal: 'dead-tuples', limit: 0.1 })
  expect(events.find(({ kind }) => kind === 'released')?.detail.heldSeconds).toBeGreaterThan(0)
  expect(await database.query('SELECT touched, count(*)::int AS rows FROM items GROUP BY 1')).toEqual([
    { touched: 1, rows },
  ])
})

test('which signals count, and their limits, change while it runs, within a second', async () => {
  const database = await createDatabase()
  const client = await startInProcess(database, await createTables(database))
  const id = await client.start('items', { options: heldByDeadTuples })
  await heldBy(client, id, 'dead-tuples')
  const began = performance.now()
  const { body } = await client.call('PATCH', `/runs/${id}`, { signals: { 'dead-tuples': false } })
  expect(body.options.signals).toMatchObject({ 'dead-tuples': false })
  await until(
    'it to go on',
    () => client.run(id),
    ({ throttle }) => throttle?.signal !== 'dead-tuples',
  )
  expect(performance.now() - began).toBeLessThan(aSecondMs)
  await client.reaches(id, ['succeeded'])
})

test('rate and parallelism that are changed are kept to within a second, also by workers that wait', async () => {
  const database = await createDatabase()
  const client = await startInProcess(database, await createTables(database))
  // A row every ten seconds: every worker waits, and the ranges that nobody holds do as well.
  const slow = { batchSize: 20, maxRowsPerSecond: 0.1, parallelism: 4 }
  const id = await client.start('items', { options: slow })
  await until(
    'each worker to have done a row and to wait',
    () => settledRows(database),
    (done) => done >= 4,
  )
  const before = await settledRows(database)
  let began = performance.now()
  await client.call('PATCH', `/runs/${id}`, { maxRowsPerSecond: 2000 })
  await until(
    'rows to be done again',
    () => database.value<number>('SELECT sum(touched)::int FROM items'),
    (now) => now > before + 20,
  )
  expect(performance.now() - began).toBeLessThan(aSecondMs)

  const holders = async () => {
    const ranges = await client.ranges(id)
    return ranges.filter(({ leaseOwner }) => leaseOwner !== null).length
  }
  await until('several workers', holders, (count) => count > 1)
  began = performance.now()
  await client.call('PATCH', `/runs/${id}`, { parallelism: 1 })
  await until('one worker', holders, (count) => count === 1)
  expect(performance.now() - began).toBeLessThan(aSecondMs)
  await client.call('POST', `/runs/${id}/cancel`)
})

test('an override has a name, a reason and an end', async () => {
  const database = await createDatabase()
  const client = await startInProcess(database, await createTables(database))
  const id = await client.start('items', { options: { ...heldByDeadTuples, maxRowsPerSecond: 2000 } })
  await heldBy(client, id, 'dead-tuples')
  const before = await settledRows(database)
  const { status, body } = await client.call('POST', `/runs/${id}/overrides`, {
    signal: 'dead-tuples',
    reason: 'vacuum comes tonight',
    seconds: 2,
  })
  expect(status).toBe(200)
  expect(body.overrides).toMatchObject([{ signal: 'dead-tuples', reason: 'vacuum comes tonight', by: 'local' }])
  await until(
    'rows to be done',
    () => settledRows(database),
    (now) => now > before,
  )
  // It ends by itself, and the signal counts again.
  const again = await heldBy(client, id, 'dead-tuples')
  expect(again.overrides).toEqual([])
  const events = await client.events(id)
  expect(events.find(({ kind }) => kind === 'override')).toMatchObject({
    detail: { signal: 'dead-tuples', reason: 'vacuum comes tonight' },
  })

  const { body: longer } = await client.call('POST', `/runs/${id}/overrides`, {
    signal: 'dead-tuples',
    reason: 'for good',
    seconds: 3600,
  })
  expect(longer.overrides).toHaveLength(1)
  const { body: taken } = await client.call('DELETE', `/runs/${id}/overrides/dead-tuples`)
  expect(taken.overrides).toEqual([])
  const bad = await client.call<{ detail: string }>('POST', `/runs/${id}/overrides`, {
    signal: 'dead-tuples',
    seconds: 5,
  })
  expect(bad.status).toBe(400)
  expect(bad.body.detail).toContain('reason')
})

test('an override lasts by the database’s clock, whatever the time is where it is made', async () => {
  const database = await createDatabase()
  const jobs = await createTables(database)
  const clock = pathToFileURL(join(import.meta.dirname, '../support/clock.mjs')).href
  const api = await spawnService(database, jobs, { ROLE: 'api', NODE_OPTIONS: `--import ${clock}` })
  const id = await api.client.start('items')
  for (const jump of [1, 2]) {
    api.process.kill('SIGUSR2')
    await until('the clock to have jumped', () => api.output().split('it is ').length > jump)
    const body = { signal: 'commit-latency', reason: 'for a while', seconds: 600 }
    const { body: run } = await api.client.call('POST', `/runs/${id}/overrides`, body)
    expect(run.overrides).toHaveLength(1)
    const left = await database.value<number>(
      "SELECT extract(epoch FROM (overrides->0->>'until')::timestamptz - clock_timestamp())::float8 FROM evenkeel.runs",
    )
    expect(left).toBeGreaterThan(500)
    expect(left).toBeLessThanOrEqual(600)
    expect((await api.client.run(id)).overrides).toHaveLength(1)
  }
})

test('a hold is kept up once a second, and not written for each look', async () => {
  const database = await createDatabase()
  const client = await startInProcess(database, await createTables(database))
  const id = await client.start('items', { options: heldByDeadTuples })
  await heldBy(client, id, 'dead-tuples')
  const seen = new Set<string>()
  const span = () => {
    const times = [...seen].map((at) => Date.parse(at)).sort((a, b) => a - b)
    return ((times.at(-1) as number) - (times[0] as number)) / 1000
  }
  await until(
    'it to be kept up for a while',
    async () => {
      seen.add(await database.value<string>("SELECT hold->>'seenAt' FROM evenkeel.runs WHERE id = $1", [id]))
      return span()
    },
    (seconds) => seconds > 4,
  )
  expect(seen.size - 1).toBeLessThanOrEqual(span())
})

test('outside its schedule a run is held, says until when, and goes on when it may', async () => {
  const database = await createDatabase()
  const client = await startInProcess(database, await createTables(database))
  const hour = (new Date().getUTCHours() + 12) % 24
  const schedule = { cron: `* ${hour} * * *`, timeZone: 'UTC' }
  const id = await client.start('items', { options: { schedule } })
  const held = await heldBy(client, id, 'schedule')
  expect(held.throttle).toMatchObject({ value: null, limit: null })
  expect(held.throttle?.reason).toMatch(new RegExp(`at \\d{4}-\\d\\d-\\d\\dT${String(hour).padStart(2, '0')}:00:00`))
  expect(await settledRows(database)).toBe(0)
  const open = { cron: '* * * * *', timeZone: 'Europe/Vienna' }
  await client.call('PATCH', `/runs/${id}`, { schedule: open })
  await client.reaches(id, ['succeeded'])

  const refused = await client.call<{ detail: string }>('POST', '/runs', {
    job: 'items',
    options: { schedule: { cron: '0 22 * * *', timeZone: 'Europe/Vienna' } },
  })
  expect(refused.status).toBe(400)
  expect(refused.body.detail).toContain('write "* 22-23,0-5 * * *"')
})

test('POST /pause holds everything, also what is started or resumed afterwards', async () => {
  const database = await createDatabase()
  const client = await startInProcess(database, await createTables(database))
  const first = await client.start('items', { options: { batchSize: 100, maxRowsPerSecond: 2000 } })
  await client.reaches(first, ['running'])
  const { body } = await client.call<{ globalPause: unknown; runs: Array<{ status: string }> }>('POST', '/pause', {
    reason: 'deploy',
  })
  expect(body.globalPause).toMatchObject({ reason: 'deploy', actor: 'local' })
  expect(body.runs.map(({ status }) => status)).toEqual(['paused'])
  const second = await client.start('others')
  const held = await heldBy(client, second, 'global-pause')
  expect(held.throttle?.reason).toContain('deploy')
  expect((await client.call('POST', `/runs/${first}/resume`)).status).toBe(409)
  expect((await client.run(first)).status).toBe('paused')
  expect(await settledRows(database, 'others')).toBe(0)
  await client.call('PATCH', `/runs/${first}`, { maxRowsPerSecond: null })
  const { body: resumed } = await client.call<{ globalPause: unknown }>('POST', '/resume')
  expect(resumed.globalPause).toBeNull()
  await client.reaches(first, ['succeeded'])
  await client.reaches(second, ['succeeded'])
})

test('a global pause holds from its first moment', async () => {
  const database = await createDatabase()
  const client = await startInProcess(database, await createTables(database))
  const id = await client.start('items', { options: { batchSize: 10, maxRowsPerSecond: 100 } })
  await until(
    'rows to be done',
    () => settledRows(database),
    (done) => done > 0,
  )
  for (let round = 1; round <= 5; round += 1) {
    await client.call('POST', `/runs/${id}/pause`)
    const before = await settledRows(database)
    // Beside the API, which would take its time to answer: no worker has had a look since.
    await database.query("INSERT INTO evenkeel.global_pause (actor) VALUES ('somebody')")
    await client.call('POST', `/runs/${id}/resume`)
    await heldBy(client, id, 'global-pause')
    expect(await settledRows(database)).toBe(before)
    await database.query('DELETE FROM evenkeel.global_pause')
    await until(
      'it to go on',
      () => settledRows(database),
      (done) => done > before,
    )
  }
  await client.call('POST', `/runs/${id}/cancel`)
})

test('a hold by another process stops the batches here, for as long as that process keeps it up', async () => {
  const database = await createDatabase()
  const client = await startInProcess(database, await createTables(database))
  const id = await client.start('items', { options: { batchSize: 50, maxRowsPerSecond: 2000 } })
  await until(
    'rows to be done',
    () => settledRows(database),
    (done) => done > 0,
  )
  // It sees what this one does not: its own sampler is blind, say.
  let keptUp = true
  const now = `to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`
  const other = (async () => {
    while (keptUp) {
      await database.query(
        `UPDATE evenkeel.runs SET hold = jsonb_build_object('reason', 'slots is not known', 'signal', 'slots', 'value', NULL,
           'limit', 1, 'since', coalesce(hold->>'since', ${now}), 'by', 'another', 'seenAt', ${now}) WHERE id = $1`,
        [id],
      )
    }
  })()
  await heldBy(client, id, 'slots')
  const done = await settledRows(database)
  const began = performance.now()
  await until(
    'several rounds of this process',
    () => performance.now() - began,
    (ms) => ms > 4000,
  )
  expect(await settledRows(database)).toBe(done)
  expect((await client.run(id)).throttle?.signal).toBe('slots')
  keptUp = false
  await other
  await client.reaches(id, ['succeeded'])
})

test('the load is shared: two processes together do not take more than one', async () => {
  const database = await createDatabase()
  const jobs = await createTables(database, { paced: true })
  const one = await startInProcess(database, jobs)
  const another = await startInProcess(database, jobs)
  const id = await one.start('items', { options: { batchSize: 20, parallelism: 8 } })
  // Two tenths of one worker's time for all of them, whatever they would make of it themselves.
  const load = 0.2
  let going = true
  const pinned = (async () => {
    while (going) {
      await database.query(
        `UPDATE evenkeel.pace SET state = jsonb_build_object('concurrency', $1::float8, 'targetSeconds', 0.02, 'cause', NULL,
           'causeSince', NULL, 'slowed', NULL, 'loweredAt', 0, 'recentWorkers', '[8]'::jsonb, 'trail', '{}'::jsonb), version = version + 1, stepped_at = clock_timestamp()`,
        [load],
      )
    }
  })()
  const busy = async () => {
    const texts = await Promise.all([one, another].map((client) => client.call<string>('GET', '/metrics')))
    const sums = texts.flatMap(({ body }) => /^backfill_batch_duration_seconds_sum\S* (\S+)$/m.exec(body)?.[1] ?? [])
    return sums.reduce((sum, seconds) => sum + Number(seconds), 0)
  }
  const owners = () =>
    database.query('SELECT DISTINCT lease_owner FROM evenkeel.ranges WHERE run_id = $1 AND lease_owner IS NOT NULL', [
      id,
    ])
  await until(
    'eight workers',
    () => owners(),
    (found) => found.length > 0,
  )
  const [from, at] = [await busy(), performance.now()]
  await until(
    'four seconds of work',
    () => performance.now() - at,
    (ms) => ms > 4000,
  )
  const used = ((await busy()) - from) / ((performance.now() - at) / 1000)
  going = false
  await pinned
  expect(used).toBeLessThan(load * 1.1)
  expect(used).toBeGreaterThan(load * 0.3)
  await one.call('POST', `/runs/${id}/cancel`)
})

test('a run begins with as many workers as its pace is enough for; one that is not paced with all', async () => {
  const database = await createDatabase()
  const client = await startInProcess(database, await createItems(database, 60_000, { paced: true }), { ROLE: 'api' })
  const tickets = (id: string) =>
    database.value<number>('SELECT count(ticket)::int FROM evenkeel.ranges WHERE run_id = $1', [id])
  expect(await tickets(await client.start('touch', { options: { parallelism: 4 } }))).toBe(2)
  expect(await tickets(await client.start('count', { options: { ...unpaced, parallelism: 4 } }))).toBe(4)
})
