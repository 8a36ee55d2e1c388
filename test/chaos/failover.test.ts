import { setTimeout as sleep } from 'node:timers/promises'
import { expect, onTestFinished, test } from 'vitest'
import { startPostgres, startStandby } from '../../src/embedded/index.ts'
import { openDatabase, type TestDatabase } from '../support/database.ts'
import { createItems, expectTouchedOnce, untilDone } from '../support/items.ts'
import { startProxy } from '../support/proxy.ts'
import { type Client, startInProcess } from '../support/service.ts'
import { perCommit } from '../support/tier.ts'
import { until } from '../support/until.ts'

const rows = 20_000

/** A primary and its standby, each with a proxy: one that clients go by, and one that the standby follows by. */
async function startPair({ synchronous }: { synchronous: boolean }) {
  const primary = await startPostgres()
  onTestFinished(() => primary.stop())
  const clients = await startProxy(primary.url)
  const link = await startProxy(primary.url)
  const standby = await startStandby({ ...primary, url: link.url, port: link.port }, { name: 'heir' })
  onTestFinished(() => standby.stop())
  const old = openDatabase(primary.url)
  if (synchronous) {
    await old.query("ALTER SYSTEM SET synchronous_standby_names = 'heir'")
    await old.query('SELECT pg_reload_conf()')
    await until('it to be synchronous', () =>
      old.value<boolean>("SELECT EXISTS (SELECT FROM pg_stat_replication WHERE sync_state = 'sync')"),
    )
  }
  const heir = openDatabase(standby.url)
  return {
    primary,
    clients,
    link,
    /** Whichever server clients are sent to. */
    database: openDatabase(clients.url),
    old,
    heir,
    /** The standby hears no more; a moment later the primary is gone, and clients come to a standby first. */
    async failOver() {
      link.blackhole()
      const before = await sessions(old)
      expect(before).toBeGreaterThan(0)
      await primary.kill()
      clients.pointTo(standby.url)
      await until('sessions on the standby', async () => (await sessions(heir)) > 0)
      await heir.query('SELECT pg_promote()')
    },
  }
}

const sessions = (database: TestDatabase) =>
  database.value<number>("SELECT count(*)::int FROM pg_stat_activity WHERE application_name = 'evenkeel control'")

/** Rows of batches whose commit the workers have heard of. */
async function rowsHeardOf(client: Client): Promise<number> {
  const { body } = await client.call<string>('GET', '/metrics')
  return Number(/^backfill_rows_total\{.*outcome="done".*\} (\d+)$/m.exec(body)?.[1] ?? 0)
}

const rowsDone = (database: TestDatabase) => database.value<number>('SELECT sum(touched)::int FROM items')

/** It went on by itself: nothing failed it, and each row was done once, by its own word and by the table's. */
async function expectWhole(client: Client, database: TestDatabase, id: string): Promise<void> {
  const run = await client.reaches(id, ['succeeded'])
  expect(run.proof).toMatchObject({ rowsDone: rows, rowsScanned: rows })
  await expectTouchedOnce(database, rows)
  const events = await client.events(id)
  expect(events.map(({ kind }) => kind)).not.toContain('fail')
}

const options = { batchSize: 50, maxRowsPerSecond: 4000 }

test.each(perCommit<Array<'on' | 'remote_apply'>>(['on'], { nightly: ['on', 'remote_apply'] }))(
  'a failover with synchronous_commit %s: nothing that was heard of is lost, and the run goes on',
  async (synchronousCommit) => {
    const { clients, link, database, heir, failOver } = await startPair({ synchronous: true })
    const client = await startInProcess(clients, await createItems(database, rows))
    const id = await client.start('count', { options: { ...options, synchronousCommit } })
    await untilDone(database, 2000)
    link.blackhole()
    // What the standby had said by then is still on its way to the workers.
    await sleep(500)
    const heard = await rowsHeardOf(client)
    expect(heard).toBeGreaterThan(2000)
    expect(heard).toBeLessThan(rows / 2)
    await sleep(2000)
    expect(await rowsHeardOf(client)).toBe(heard)
    await failOver()
    expect(await rowsHeardOf(client)).toBe(heard)
    expect(await rowsDone(heir)).toBeGreaterThanOrEqual(heard)
    await expectWhole(client, heir, id)
  },
)

test('a failover with asynchronous replication loses batches whole, and does them again; the old primary is left alone', async () => {
  const { primary, clients, link, database, old, heir, failOver } = await startPair({ synchronous: false })
  const client = await startInProcess(clients, await createItems(database, rows))
  const id = await client.start('count', { options })
  await untilDone(database, 2000)
  link.blackhole()
  const heardThen = await rowsHeardOf(client)
  await until('batches that the standby does not hear of', async () => (await rowsHeardOf(client)) > heardThen + 2000)
  await failOver()
  // What is lost are rows and checkpoints of the same batches.
  const done = await rowsDone(heir)
  expect(done).toBeLessThan(await rowsHeardOf(client))
  await primary.restart()
  const before = await rowsDone(old)
  expect(before).toBeGreaterThan(done)
  await expectWhole(client, heir, id)
  expect(await rowsHeardOf(client)).toBeGreaterThan(rows)
  // Nothing of ours has come back to it.
  expect(await rowsDone(old)).toBe(before)
  expect(await sessions(old)).toBe(0)
})

test('a standby that was promoted is missed like any other: the run is held until somebody says that it may go on', async () => {
  const { clients, database, heir, failOver } = await startPair({ synchronous: true })
  const client = await startInProcess(clients, await createItems(database, rows), { REPLICAS: 'auto' })
  const watched = ['replica-lag', 'replica-bytes', 'replicas-missing']
  const signals = Object.fromEntries(watched.map((signal) => [signal, true]))
  const id = await client.start('count', { options: { ...options, signals, synchronousCommit: 'on' } })
  await untilDone(database, 2000)
  await failOver()
  const { throttle } = await until(
    'the run to be held',
    () => client.run(id),
    (run) => run.throttle !== null && watched.includes(run.throttle.signal) && /the limit is/.test(run.throttle.reason),
  )
  expect(throttle?.reason).toContain('standby heir')
  for (const signal of watched) {
    const override = { signal, reason: 'failover: the new standby is being built', seconds: 3600 }
    expect((await client.call('POST', `/runs/${id}/overrides`, override)).status).toBeLessThan(300)
  }
  await expectWhole(client, heir, id)
})
