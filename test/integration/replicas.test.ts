import pg from 'pg'
import { expect, onTestFinished, test } from 'vitest'
import { startStandby } from '../../src/embedded/index.ts'
import { createEmptyDatabase } from '../support/database.ts'
import { createItems, expectTouchedOnce } from '../support/items.ts'
import {
  createScene,
  done,
  expectNeverBehind,
  heldBy,
  maxLagSeconds,
  moving,
  onStandby,
  rows,
  usePair,
} from '../support/pair.ts'
import { startPostgres } from '../support/postgres.ts'
import { startInProcess } from '../support/service.ts'
import { until } from '../support/until.ts'

const pair = usePair()

test('replay that is paused holds the run within two seconds of the limit, and it goes on by itself', async () => {
  const here = await createScene(pair)
  const { database, client } = here
  const id = await here.start()
  await moving(database, 2000)
  await onStandby(pair, 'SELECT pg_wal_replay_pause()')
  const pausedAt = performance.now()
  onTestFinished(() => onStandby(pair, 'SELECT pg_wal_replay_resume()'))

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

  await onStandby(pair, 'SELECT pg_wal_replay_resume()')
  await moving(database, then + 200)
  await client.reaches(id, ['succeeded'])
  await expectTouchedOnce(database, rows)
  const events = await client.events(id)
  expect(events.map(({ kind }) => kind)).toEqual(['created', 'start', 'held', 'released', 'verify', 'succeed'])
})

test('on an idle primary nothing is held: no WAL is no lag', async () => {
  const here = await createScene(pair)
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
  const database = await createEmptyDatabase(pair.primary.url)
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
  const id = await client.start('count', { options: { maxRowsPerSecond: 8000, batchSize: 200 } })
  await moving(database, 1000)
  await database.query(`REVOKE pg_monitor FROM watcher_${database.name}`)
  const { run } = await heldBy({ client }, id, ['replica-lag', 'replica-bytes', 'replicas-missing'])
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
  const delayed = await startStandby(pair.primary, { name: 'delayed', settings: { recovery_min_apply_delay: '1h' } })
  onTestFinished(() => delayed.stop())
  const here = await createScene(pair, { REPLICAS: 'one' })
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
  const cascade = await startStandby(pair.standby, { name: 'below' })
  onTestFinished(() => cascade.stop())
  const database = await createEmptyDatabase(pair.primary.url)
  const replica = new URL(cascade.url)
  replica.pathname = `/${database.name}`
  const jobs = await createItems(database, rows, { paced: true })
  const env = { REPLICAS: 'none', REPLICA_URLS: replica.href }
  const client = await startInProcess(database, jobs, env)
  const id = await client.start('count', { options: { maxLagSeconds, maxRowsPerSecond: 8000, batchSize: 200 } })
  await moving(database, 2000)
  const below = new pg.Client({ connectionString: cascade.url })
  await below.connect()
  onTestFinished(() => below.end())
  await below.query('SELECT pg_wal_replay_pause()')
  const { run } = await heldBy({ client }, id, ['heartbeat'])
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
