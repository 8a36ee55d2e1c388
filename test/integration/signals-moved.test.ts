import { expect, onTestFinished, test } from 'vitest'
import { startStandby } from '../../src/embedded/index.ts'
import { openDatabase, type TestDatabase } from '../support/database.ts'
import { createItems, untilDone } from '../support/items.ts'
import { startPostgres } from '../support/postgres.ts'
import { startProxy } from '../support/proxy.ts'
import { type Client, startInProcess } from '../support/service.ts'
import { until } from '../support/until.ts'

/** Names of evenkeel's sessions on a server. */
async function ours(database: TestDatabase): Promise<string[]> {
  const rows = await database.query<{ name: string }>(
    "SELECT DISTINCT application_name AS name FROM pg_stat_activity WHERE application_name LIKE 'evenkeel %' ORDER BY 1",
  )
  return rows.map(({ name }) => name)
}

async function signal(client: Client, name: string): Promise<number | null> {
  const { body } = await client.call<string>('GET', '/metrics')
  const [, value] = new RegExp(`^backfill_signal\\{[^}]*signal="${name}"[^}]*\\} (\\S+)$`, 'm').exec(body) ?? []
  return value === undefined ? null : Number(value)
}

/** A session that is at work all the time, until the test ends. */
async function keepBusy(database: TestDatabase): Promise<void> {
  let ended = false
  onTestFinished(() => {
    ended = true
  })
  const work = async () => {
    while (!ended) await database.query('SELECT pg_sleep(0.05)')
  }
  void work().catch(() => undefined)
}

test('after a change of roles that closes no session, what is measured is the server that is written to', async () => {
  const primary = await startPostgres()
  onTestFinished(() => primary.stop())
  const standby = await startStandby(primary, { name: 'heir' })
  onTestFinished(() => standby.stop())
  const [old, heir] = [openDatabase(primary.url), openDatabase(standby.url)]
  const proxy = await startProxy(primary.url)
  const client = await startInProcess(proxy, await createItems(old, 60_000, { paced: true }))
  await client.start('count', { options: { maxRowsPerSecond: 500 } })
  await untilDone(old, 200)
  expect(await ours(old)).toContain('evenkeel signals')

  await old.query('ALTER SYSTEM SET default_transaction_read_only = on')
  await old.query('SELECT pg_reload_conf()')
  await heir.query('SELECT pg_promote()')
  proxy.pointTo(standby.url)
  const done = await heir.value<number>('SELECT sum(touched)::int FROM items')
  await untilDone(heir, done + 200)
  await keepBusy(heir)
  await until('nothing of ours to be left on the old server', async () => (await ours(old)).length === 0, Boolean, 30)
  expect(await ours(heir)).toEqual(expect.arrayContaining(['evenkeel probe', 'evenkeel signals']))
  await until(
    'the busy session on the new server to be seen',
    async () => ((await signal(client, 'foreground')) ?? 0) >= 1,
  )
})
