import { expect, test } from 'vitest'
import { rowRate } from '../../src/core/throttle/row-rate.ts'
import { createControl } from '../../src/store/control.ts'
import { drawRows, returnRows, rowWaits } from '../../src/store/row-rates.ts'
import { createDatabase, type TestDatabase } from '../support/database.ts'
import { createItems, untilDone } from '../support/items.ts'
import { jobSource, jobsFolder, startInProcess, startWithTimings } from '../support/service.ts'
import { until } from '../support/until.ts'

/** A partitioned table of so many partitions, and a job that counts how often each row was done. */
async function createParts(database: TestDatabase, partitions: number, rows: number): Promise<string> {
  await database.query(
    'CREATE TABLE parts (id int PRIMARY KEY, touched int NOT NULL DEFAULT 0) PARTITION BY RANGE (id)',
  )
  for (let part = 0; part < partitions; part += 1)
    await database.query(
      `CREATE TABLE parts_${part} PARTITION OF parts FOR VALUES FROM (${part * rows}) TO (${(part + 1) * rows})`,
    )
  await database.query('INSERT INTO parts SELECT generate_series(0, $1::int - 1)', [partitions * rows])
  await database.query('ANALYZE parts')
  return jobsFolder({
    'parts.ts': jobSource({ name: 'parts', table: 'parts', rest: 'set: { touched: sql`touched + 1` }' }),
  })
}

/** Rows done from now on, and in how many seconds. */
async function measure(database: TestDatabase, table: string, seconds: number) {
  const sample = async () => {
    const [row] = await database.query<{ at: number; done: number }>(
      `SELECT extract(epoch FROM clock_timestamp())::float8 AS at, sum(touched)::int AS done FROM ${table}`,
    )
    return row as { at: number; done: number }
  }
  const first = await sample()
  const last = await until('some seconds of work', sample, ({ at }) => at > first.at + seconds)
  return { rows: last.done - first.done, seconds: last.at - first.at }
}

test.for([
  { limit: 2, parallelism: 1, rows: 1 },
  { limit: 2, parallelism: 4, rows: 5 },
  { limit: 0.5, parallelism: 3, rows: 5 },
])('a run of partitions of $rows rows keeps to $limit rows a second with $parallelism workers', async (options) => {
  const database = await createDatabase()
  const client = await startInProcess(database, await createParts(database, 60, options.rows))
  const id = await client.start('parts', {
    options: { maxRowsPerSecond: options.limit, parallelism: options.parallelism },
  })
  await until(
    'rows to be done',
    () => database.value<number>('SELECT sum(touched)::int FROM parts'),
    (done) => done > 0,
  )
  const { rows, seconds } = await measure(database, 'parts', 4)
  // What may have gathered while no worker drew it, a row that was drawn before, and a tenth.
  const burst = Math.max(1, options.limit / 4)
  expect(rows).toBeLessThanOrEqual(1.1 * options.limit * seconds + burst + 1)
  const run = await until(
    'it to say that it waits for its rate',
    () => client.run(id),
    ({ throttle }) => throttle?.signal === 'rate',
  )
  expect(run.throttle?.limit).toBe(options.limit)
  expect(run.progress.throttledSeconds).toBeGreaterThan(0.5)
  await client.call('POST', `/runs/${id}/cancel`)
})

test('a rate below any that a clock can tell holds, breaks nothing, and gives way to a higher one', async () => {
  const database = await createDatabase()
  const client = await startInProcess(database, await createItems(database, 300))
  const id = await client.start('count', { options: { maxRowsPerSecond: 1e-300, parallelism: 2 } })
  await untilDone(database, 0)
  await until(
    'it to wait for its rate',
    () => client.run(id),
    ({ throttle }) => throttle?.signal === 'rate',
  )
  expect(await database.value('SELECT sum(touched)::int FROM items')).toBe(1)
  await client.call('PATCH', `/runs/${id}`, { maxRowsPerSecond: 10_000 })
  const run = await client.reaches(id, ['succeeded'])
  expect(run.proof).toMatchObject({ rowsDone: 300, rowsScanned: 300 })
})

test('workers that draw at once get no more than the rate, wait in turn, and a clock that was set back stops none', async () => {
  const database = await createDatabase()
  const api = await startInProcess(database, await createItems(database, 10), { ROLE: 'api' })
  const id = await api.start('count')
  const control = createControl(database.pool, 'evenkeel')
  const rate = rowRate(2000, 4)
  const began = performance.now()
  let drawn = 0
  const worker = async () => {
    while (performance.now() - began < 1500) {
      const { granted, waitSeconds } = await drawRows(control, id, rate.portion, rate, 1)
      expect(granted).toBe(true)
      drawn += rate.portion
      await new Promise((resolve) => setTimeout(resolve, waitSeconds * 1000))
    }
  }
  await Promise.all([worker(), worker(), worker(), worker()])
  const seconds = (performance.now() - began) / 1000
  expect(drawn).toBeLessThanOrEqual(2000 * seconds + rate.burst)
  expect(drawn).toBeGreaterThan(2000 * 1.5 * 0.8)

  await returnRows(control, id, 10_000)
  await database.query("UPDATE evenkeel.rates SET counted_at = clock_timestamp() + interval '10 minutes'")
  // What was given back fills the bucket and no more.
  expect(await drawRows(control, id, rate.burst, rate, 1)).toEqual({ granted: true, waitSeconds: 0 })
  const empty = await drawRows(control, id, 100, rate, 0)
  expect(empty.granted).toBe(false)
  expect(empty.waitSeconds).toBeGreaterThan(0)
  expect(empty.waitSeconds).toBeLessThanOrEqual(0.05)
  const ever = rowRate(1e-300, 1)
  await database.query('UPDATE evenkeel.rates SET rows = 0')
  expect((await drawRows(control, id, 1, ever, 1)).waitSeconds).toBe(3600)
  expect((await rowWaits(control, [{ runId: id, ...ever }])).get(id)).toBe(3600)
})

test('the rate shown is what a clock sees, also while ranges change hands, and the mean at the end', async () => {
  const database = await createDatabase()
  const jobs = await createItems(database, 50_000)
  const client = await startWithTimings(database, jobs, { sliceSeconds: 1 })
  const id = await client.start('count', { options: { maxRowsPerSecond: 40, parallelism: 2 } })
  await until(
    'the rate to be told',
    () => client.run(id),
    ({ progress }) => progress.etaSeconds !== null,
  )
  const seen: Array<{ shown: number; eta: number | null; throttled: number }> = []
  const measuring = measure(database, 'items', 5)
  let ended = false
  const watching = (async () => {
    while (!ended) {
      const { progress } = await client.run(id)
      seen.push({ shown: progress.rowsPerSecond, eta: progress.etaSeconds, throttled: progress.throttledSeconds })
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
  })()
  const { rows, seconds } = await measuring
  ended = true
  await watching
  const real = rows / seconds
  // The rate that is allowed is used.
  expect(real).toBeGreaterThan(40 * 0.8)
  expect(real).toBeLessThan(40 * 1.1)
  for (const { shown, eta } of seen) {
    expect(shown).toBeGreaterThan(real * 0.7)
    expect(shown).toBeLessThan(real * 1.3)
    expect(eta).not.toBeNull()
  }
  expect(seen.map(({ throttled }) => throttled)).toEqual(seen.map(({ throttled }) => throttled).sort((a, b) => a - b))

  await client.call('POST', `/runs/${id}/pause`)
  const { progress: paused } = await client.reaches(id, ['paused'])
  expect(paused.rowsPerSecond).toBe(0)
  for (const parallelism of [8, 1, 2]) {
    const { body } = await client.call('PATCH', `/runs/${id}`, { parallelism })
    expect(body.progress.throttledSeconds).toBe(paused.throttledSeconds)
  }
  await client.call('PATCH', `/runs/${id}`, { maxRowsPerSecond: null })
  await client.call('POST', `/runs/${id}/resume`)
  const { progress } = await client.reaches(id, ['succeeded'])
  expect(progress.rowsPerSecond).toBeGreaterThan(0)
  expect(progress.rowsPerSecond).toBe(progress.overallRowsPerSecond)
  expect(progress).toMatchObject({ rowsTotal: 50_000, rowsTotalIsEstimate: false, check: null, etaSeconds: null })
})
