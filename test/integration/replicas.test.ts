import pg from 'pg'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { type EmbeddedPostgres, startStandby } from '../../src/embedded/index.ts'
import { createEmptyDatabase, type TestDatabase } from '../support/database.ts'
import { createItems, expectTouchedOnce } from '../support/items.ts'
import { startPostgres } from '../support/postgres.ts'
import { type Client, startInProcess } from '../support/service.ts'
import { until } from '../support/until.ts'

const rows = 40_000
/** Short, so that what needs a lag to build up need not take long. */
const maxLagSeconds = 2

let primary: EmbeddedPostgres
let standby: EmbeddedPostgres

beforeAll(async () => {
  primary = await startPostgres()
  standby = await startStandby(primary, { name: 'one' })
})
afterAll(async () => {
  await standby?.stop()
  await primary?.stop()
})

interface Scene {
  readonly database: TestDatabase
  readonly client: Client
  /** A run that would take some ten seconds if nothing held it. */
  start(options?: Record<string, unknown>): Promise<string>
}

async function scene(env: Readonly<Record<string, string>> = {}): Promise<Scene> {
  const database = await createEmptyDatabase(primary.url)
  const client = await startInProcess(database, await createItems(database, rows, { paced: true }), {
    REPLICAS: 'auto',
    ...env,
  })
  const start = (options: Record<string, unknown> = {}) =>
    client.start('count', { options: { maxLagSeconds, maxRowsPerSecond: 8000, batchSize: 200, ...options } })
  return { database, client, start }
}

async function onStandby(text: string): Promise<void> {
  const client = new pg.Client({ connectionString: standby.url })
  await client.connect()
  await client.query(text).finally(() => client.end())
}

const done = (database: TestDatabase) => database.value<number>('SELECT sum(touched)::int FROM items')

function moving(database: TestDatabase, beyond = 0): Promise<number> {
  return until(
    `more than ${beyond} rows to be done`,
    () => done(database),
    (count) => count > beyond,
  )
}

/** Looks at a run until it is held, and gives what it saw of it and of the clock. */
async function heldBy({ client }: Scene, id: string, signals: readonly string[], seconds = 30) {
  const run = await until(
    `run ${id} to be held by ${signals}`,
    () => client.run(id),
    ({ throttle }) =>
      throttle !== null &&
      signals.includes(throttle.signal) &&
      throttle.reason.match(/the limit is|is not known/) !== null,
    seconds,
  )
  return { run, at: performance.now() }
}

/** The run succeeds, and no replica whose name matches is ever the reason for its pace. */
async function expectNeverBehind(client: Client, id: string, named = /./): Promise<void> {
  const seen = new Set<string>()
  await until(
    'it to succeed',
    async () => {
      const { status, throttle } = await client.run(id)
      if (throttle?.signal.startsWith('replica')) seen.add(throttle.reason)
      return status
    },
    (status) => status === 'succeeded',
  )
  expect([...seen].filter((reason) => named.test(reason))).toEqual([])
}

test('replay that is paused holds the run within two seconds of the limit, and it goes on by itself', async () => {
  const here = await scene()
  const { database, client } = here
  const id = await here.start()
  await moving(database, 2000)
  await onStandby('SELECT pg_wal_replay_pause()')
  const pausedAt = performance.now()
  onTestFinished(() => onStandby('SELECT pg_wal_replay_resume()'))

  const { run, at } = await heldBy(here, id, ['replica-lag'])
  expect((at - pausedAt) / 1000).toBeLessThan(maxLagSeconds + 2)
  expect(run.status).toBe('running')
  expect(run.throttle).toMatchObject({ signal: 'replica-lag', limit: maxLagSeconds })
  expect(run.throttle?.value).toBeGreaterThanOrEqual(maxLagSeconds)
  expect(run.throttle?.reason).toContain('standby one')

  // One batch may have been in flight; from then on nothing of ours is written while the lag grows and grows.
  const then = await done(database)
  await until(
    'the lag to be twice the limit',
    () => client.run(id),
    ({ throttle }) => (throttle?.value ?? 0) > 2 * maxLagSeconds,
  )
  expect((await done(database)) - then).toBeLessThanOrEqual(200)

  await onStandby('SELECT pg_wal_replay_resume()')
  await moving(database, then + 200)
  await client.reaches(id, ['succeeded'])
  await expectTouchedOnce(database, rows)
  const { body } = await client.call<{ events: Array<{ kind: string }> }>('GET', `/runs/${id}/events`)
  expect(body.events.map(({ kind }) => kind)).toEqual(['created', 'start', 'held', 'released', 'verify', 'succeed'])
})

test('a standby that is killed counts as one that stands still, and then as missing', async () => {
  const here = await scene()
  const { database, client } = here
  const id = await here.start()
  await moving(database, 2000)
  await standby.kill()
  onTestFinished(() => standby.restart())
  await until('its row to vanish', () => database.value<boolean>('SELECT NOT EXISTS (SELECT FROM pg_stat_replication)'))
  await heldBy(here, id, ['replica-lag'])
  const then = await done(database)
  const { run } = await heldBy(here, id, ['replicas-missing'])
  expect(run.throttle?.reason).toContain('one')
  expect((await done(database)) - then).toBeLessThanOrEqual(200)

  const refused = await client.call<{ detail: string }>('POST', '/runs', { job: 'touch' })
  expect(refused.status).toBe(409)
  expect(refused.body.detail).toMatch(/Standby one .*stream/)

  await standby.restart()
  await client.reaches(id, ['succeeded'])
  await expectTouchedOnce(database, rows)
})

test('a standby that a run relies on stays expected, whatever else is started, until the run is ended', async () => {
  const here = await scene()
  const { database, client } = here
  const known = () => database.query('SELECT name, count FROM evenkeel.standbys ORDER BY name')
  const refusal = async () => {
    const { status, body } = await client.call<{ detail: string }>('POST', '/runs', { job: 'touch' })
    return `${status} ${body.detail}`
  }
  const id = await here.start()
  await moving(database, 2000)
  await standby.kill()
  onTestFinished(() => standby.restart())
  expect((await client.call('POST', `/runs/${id}/pause`)).body.status).toBe('paused')
  expect(await refusal()).toMatch(
    new RegExp(`^409 .*Standby one should be streaming.*end the runs that rely on it \\(${id}\\)`),
  )
  expect(await known()).toEqual([{ name: 'one', count: 1 }])
  await client.call('POST', `/runs/${id}/resume`)
  await heldBy(here, id, ['replica-lag', 'replicas-missing'])
  const then = await done(database)
  await heldBy(here, id, ['replicas-missing'])
  expect((await done(database)) - then).toBeLessThanOrEqual(200)

  await client.call('POST', `/runs/${id}/cancel`)
  expect(await refusal()).toMatch(/^409 .*No standby streams/)
  expect(await known()).toEqual([{ name: 'one', count: 1 }])
})

test('a standby that a failed run may be retried with stays expected until that run is cancelled', async () => {
  const { database, client } = await scene()
  const known = () => database.query('SELECT name, count FROM evenkeel.standbys ORDER BY name')
  const failed = await client.start('touch')
  await until('the standby to be known', async () => (await known()).length === 1)
  await client.call('POST', `/runs/${failed}/pause`)
  await database.query("UPDATE evenkeel.runs SET status = 'failed', ended_at = now() WHERE id = $1", [failed])
  const other = await startStandby(primary, { name: 'two' })
  onTestFinished(() => other.stop())
  await standby.kill()
  onTestFinished(() => standby.restart())
  await until('its row to vanish', () =>
    database.value<boolean>("SELECT count(*) = 1 FROM pg_stat_replication WHERE application_name IN ('one', 'two')"),
  )
  const refused = await client.call<{ detail: string }>('POST', '/runs', { job: 'count' })
  expect([refused.status, refused.body.detail]).toEqual([409, expect.stringContaining(`(${failed})`)])
  await client.call('POST', `/runs/${failed}/cancel`)
  await client.start('count', { options: { maxRowsPerSecond: 100 } })
  expect(await known()).toEqual([{ name: 'two', count: 1 }])
})

test('on an idle primary nothing is held: no WAL is no lag', async () => {
  const here = await scene()
  // Long enough for a clock that runs on without WAL to pass the limit.
  const began = performance.now()
  await until(
    'an idle while',
    () => performance.now() - began,
    (ms) => ms > 1000 * (maxLagSeconds + 1),
  )
  const id = await here.start({ maxRowsPerSecond: null })
  await expectNeverBehind(here.client, id, /delayed/)
})

test('a role that may not see replication is refused at start, and holds a run that is under way', async () => {
  const database = await createEmptyDatabase(primary.url)
  await database.query(`CREATE ROLE watcher_${database.name} LOGIN PASSWORD 'watching' IN ROLE pg_monitor`)
  onTestFinished(() =>
    admin(`DROP OWNED BY watcher_${database.name}; DROP ROLE watcher_${database.name}`, database.url),
  )
  const jobs = await createItems(database, rows, { paced: true })
  await database.query(`ALTER TABLE items OWNER TO watcher_${database.name}`)
  await database.query(`GRANT CREATE ON DATABASE ${database.name} TO watcher_${database.name}`)
  const url = new URL(database.url)
  url.username = `watcher_${database.name}`
  url.password = 'watching'
  const client = await startInProcess({ url: url.href }, jobs, { REPLICAS: 'auto' })
  const here: Scene = { database, client, start: () => Promise.reject() }
  const id = await client.start('count', { options: { maxRowsPerSecond: 8000, batchSize: 200 } })
  await moving(database, 1000)
  await database.query(`REVOKE pg_monitor FROM watcher_${database.name}`)
  const { run } = await heldBy(here, id, ['replica-lag', 'replica-bytes', 'replicas-missing'])
  expect(run.throttle?.value).toBeNull()
  expect(run.throttle?.reason).toContain(`GRANT pg_monitor TO "watcher_${database.name}"`)
  const refused = await client.call<{ detail: string }>('POST', '/runs', { job: 'touch' })
  expect(refused.status).toBe(409)
  expect(refused.body.detail).toContain(`GRANT pg_monitor TO "watcher_${database.name}"`)
  await database.query(`GRANT pg_monitor TO watcher_${database.name}`)
  await client.call('PATCH', `/runs/${id}`, { maxRowsPerSecond: null })
  await client.reaches(id, ['succeeded'])
})

test('a standby that is delayed on purpose does not count beside one that is named', async () => {
  const delayed = await startStandby(primary, { name: 'delayed', settings: { recovery_min_apply_delay: '1h' } })
  onTestFinished(() => delayed.stop())
  const here = await scene({ REPLICAS: 'one' })
  const id = await here.start({ maxRowsPerSecond: null })
  await expectNeverBehind(here.client, id, /delayed/)
})

test('a primary without a standby is refused under auto, and REPLICAS=none says that there is none', async () => {
  const alone = await startPostgres()
  onTestFinished(() => alone.stop())
  const database = await createEmptyDatabase(alone.url)
  const jobs = await createItems(database, 1000, { paced: true })
  const client = await startInProcess(database, jobs, { REPLICAS: 'auto' })
  const refused = await client.call<{ detail: string }>('POST', '/runs', { job: 'count' })
  expect(refused.status).toBe(409)
  expect(refused.body.detail).toContain('REPLICAS=none')
  await client.service.close()
  const other = await startInProcess(database, jobs, { REPLICAS: 'none' })
  await other.reaches(await other.start('count'), ['succeeded'])
})

test('a replica that only it itself can tell of is read by its URL: a cascade', async () => {
  const cascade = await startStandby(standby, { name: 'below' })
  onTestFinished(() => cascade.stop())
  const database = await createEmptyDatabase(primary.url)
  const replica = new URL(cascade.url)
  replica.pathname = `/${database.name}`
  const jobs = await createItems(database, rows, { paced: true })
  const env = { REPLICAS: 'none', REPLICA_URLS: replica.href }
  const client = await startInProcess(database, jobs, env)
  const here: Scene = { database, client, start: () => Promise.reject() }
  const id = await client.start('count', { options: { maxLagSeconds, maxRowsPerSecond: 8000, batchSize: 200 } })
  await moving(database, 2000)
  const below = new pg.Client({ connectionString: cascade.url })
  await below.connect()
  onTestFinished(() => below.end())
  await below.query('SELECT pg_wal_replay_pause()')
  const { run } = await heldBy(here, id, ['heartbeat'])
  expect(run.throttle?.reason).toContain(replica.host)
  await below.query('SELECT pg_wal_replay_resume()')
  await client.reaches(id, ['succeeded'])
  await expectTouchedOnce(database, rows)

  await client.service.close()
  const gone = new URL(replica)
  gone.port = '1'
  const blind = await startInProcess(database, jobs, { REPLICAS: 'none', REPLICA_URLS: gone.href })
  const refused = await blind.call<{ detail: string }>('POST', '/runs', { job: 'touch' })
  expect(refused.status).toBe(409)
  expect(refused.body.detail).toContain(gone.host)
  expect(refused.body.detail).not.toContain(gone.password)
})

async function admin(text: string, url: string): Promise<void> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  await client.query(text).finally(() => client.end())
}
