import { expect, onTestFinished, test } from 'vitest'
import { createEmptyDatabase, type TestDatabase } from '../support/database.ts'
import { createItems, expectTouchedOnce, untilDone } from '../support/items.ts'
import { startPostgres } from '../support/postgres.ts'
import { type Answer, startInProcess } from '../support/service.ts'
import { until } from '../support/until.ts'

/** A server whose commits can be made to wait for a standby that there is none. */
async function createServer() {
  const postgres = await startPostgres()
  onTestFinished(() => postgres.stop())
  const database = await createEmptyDatabase(postgres.url)
  const ghost = async (name: string) => {
    await database.query(`ALTER SYSTEM SET synchronous_standby_names = '${name}'`)
    await database.query('SELECT pg_reload_conf()')
    await until('the setting to be in force', () =>
      database.value<boolean>("SELECT current_setting('synchronous_standby_names') = $1", [name]),
    )
  }
  onTestFinished(() => ghost(''))
  return { database, ghost }
}

/** The answer, and after how many seconds it came. */
async function timed<T>(call: Promise<Answer<T>>): Promise<Answer<T> & { readonly seconds: number }> {
  const began = performance.now()
  return { ...(await call), seconds: (performance.now() - began) / 1000 }
}

const waiting = (database: TestDatabase, application: string) =>
  database.value<number>(
    "SELECT count(*)::int FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND application_name = $1",
    [application],
  )

test('with the synchronous standby away, pause, cancel and both of everything answer within five seconds', async () => {
  const { database, ghost } = await createServer()
  const client = await startInProcess(database, await createItems(database, 5000))
  const slow = { options: { maxRowsPerSecond: 500, batchSize: 20 } }
  const first = await client.start('count', slow)
  const second = await client.start('touch', slow)
  await untilDone(database, 100)
  await ghost('ghost')
  const calls = [
    [`/runs/${first}/pause`, 'paused'],
    [`/runs/${first}/resume`, 'queued'],
    ['/pause', null],
    ['/resume', null],
    [`/runs/${second}/cancel`, 'cancelled'],
  ] as const
  for (const [path, becomes] of calls) {
    const { status, body, seconds } = await timed(client.call('POST', path))
    expect([path, status]).toEqual([path, 200])
    expect(seconds, path).toBeLessThan(5)
    if (becomes === 'queued') expect(['queued', 'running']).toContain(body.status)
    else if (becomes) expect(body.status, path).toBe(becomes)
  }
  // Success is told only once the standby has it, and what that waits for is told.
  await client.call('PATCH', `/runs/${first}`, { maxRowsPerSecond: null })
  await until('the end to wait', () => waiting(database, 'evenkeel control'))
  const { throttle, status } = await until(
    'that to be told',
    () => client.run(first),
    (run) => run.throttle?.signal === 'synchronous-standby',
  )
  expect([status, throttle?.reason]).toEqual(['verifying', expect.stringContaining('synchronous_standby_names')])
  // Its row is kept by that commit. What can be done about it is said in time.
  const refused = await timed(client.call<{ detail: string }>('POST', `/runs/${first}/pause`))
  expect([refused.status, refused.body.detail]).toEqual([503, expect.stringContaining('synchronous standby since')])
  expect(refused.seconds).toBeLessThan(5)
  const everything = await timed(
    client.call<{ globalPause: unknown; refused: Array<{ id: string }> }>('POST', '/pause'),
  )
  expect([everything.status, everything.body.refused.map(({ id }) => id)]).toEqual([200, [first]])
  expect(everything.seconds).toBeLessThan(5)
  await client.call('POST', '/resume')
  await ghost('')
  await client.reaches(first, ['succeeded'])
  expect((await client.run(first)).throttle).toBeNull()
  expect(await database.value('SELECT count(*)::int FROM items WHERE touched = 0')).toBe(0)
})

test('a run is accepted only once the standby has it', async () => {
  const { database, ghost } = await createServer()
  const client = await startInProcess(database, await createItems(database, 100))
  await ghost('ghost')
  const started = client.call('POST', '/runs', { job: 'count' })
  await until('the start to wait', () => waiting(database, 'evenkeel control'))
  expect(await database.value('SELECT count(*)::int FROM evenkeel.runs')).toBe(0)
  await ghost('')
  const { status, body } = await started
  expect(status).toBe(201)
  await client.reaches(body.id, ['succeeded'])
  await expectTouchedOnce(database, 100)
})

test('a pause answers within five seconds while another session keeps the row of the run, or of a range', async () => {
  const { database } = await createServer()
  const client = await startInProcess(database, await createItems(database, 5000))
  const id = await client.start('count', { options: { maxRowsPerSecond: 500, batchSize: 20 } })
  await untilDone(database, 20)
  const holder = await database.session()
  await holder.query(`BEGIN; SELECT FROM evenkeel.runs WHERE id = '${id}' FOR UPDATE`)
  for (const path of [`/runs/${id}/pause`, `/runs/${id}/cancel`]) {
    const { status, body, seconds } = await timed(client.call<{ detail: string }>('POST', path))
    expect([status, body.detail]).toEqual([
      503,
      expect.stringContaining('pg_locks and pg_stat_activity show which one'),
    ])
    expect(seconds).toBeLessThan(5)
  }
  await holder.query(`ROLLBACK; BEGIN; SELECT FROM evenkeel.ranges WHERE run_id = '${id}' FOR UPDATE`)
  const pausing = await timed(client.call('POST', `/runs/${id}/pause`))
  expect([pausing.status, pausing.body.status]).toEqual([200, 'pausing'])
  expect(pausing.seconds).toBeLessThan(5)
  await holder.query('ROLLBACK')
  await client.reaches(id, ['paused'])
})

test('a run whose range another session keeps holds up no other run', async () => {
  const { database } = await createServer()
  const jobs = await createItems(database, 1000)
  const api = await startInProcess(database, jobs, { ROLE: 'api' })
  const kept = await api.start('count')
  const other = await api.start('touch')
  // Both lack their tickets, and are given new ones together.
  await database.query('UPDATE evenkeel.ranges SET ticket = NULL')
  const holder = await database.session()
  await holder.query(`BEGIN; SELECT FROM evenkeel.ranges WHERE run_id = '${kept}' FOR UPDATE`)
  const worker = await startInProcess(database, jobs, { ROLE: 'worker' })
  // Both runs' rows are kept meanwhile, by whoever waits for that range.
  await until('somebody to wait for the range', () =>
    database.value<boolean>(
      `SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock')`,
    ),
  )
  const paused = await timed(api.call('POST', `/runs/${other}/pause`))
  expect([paused.status, paused.seconds < 5]).toEqual([200, true])
  await api.call('POST', `/runs/${other}/resume`)
  await api.reaches(other, ['succeeded'], 30)
  expect((await api.run(kept)).progress.rowsDone).toBe(0)
  await holder.query('ROLLBACK')
  await api.reaches(kept, ['succeeded'])
  await worker.service.close()
})
