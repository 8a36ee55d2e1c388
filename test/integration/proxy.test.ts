import pg from 'pg'
import { expect, onTestFinished, test } from 'vitest'
import { createDatabase, type TestDatabase } from '../support/database.ts'
import { startProxy, type TcpProxy, type Verdict } from '../support/proxy.ts'
import { until } from '../support/until.ts'
import type { Message } from '../support/wire.ts'

async function connect(proxy: TcpProxy): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: proxy.url, application_name: 'tested', query_timeout: 5000 })
  client.on('error', () => undefined)
  await client.connect()
  onTestFinished(async () => {
    await client.end().catch(() => undefined)
  })
  return client
}

const write = { name: 'write', text: 'INSERT INTO t VALUES ($1) RETURNING n', values: [1] }

/** A table, and a client that writes into it by a proxy that judges its messages by this. */
async function writer(
  judge: (message: Message) => Verdict,
): Promise<{ database: TestDatabase; proxy: TcpProxy; client: pg.Client }> {
  const database = await createDatabase()
  await database.query('CREATE TABLE t (n int)')
  const proxy = await startProxy(database.url, (message, { application }) =>
    application === 'tested' && message.sql === write.text ? judge(message) : 'pass',
  )
  return { database, proxy, client: await connect(proxy) }
}

const count = (database: TestDatabase) => database.value<number>('SELECT count(*)::int FROM t')

test.each([
  ['client', 'B', 'cut before', 0],
  ['client', 'E', 'cut after', 0],
  ['client', 'S', 'cut before', 0],
  ['client', 'S', 'cut within', 0],
  ['client', 'S', 'cut after', 1],
  ['server', 'C', 'cut before', 1],
  ['server', 'C', 'cut within', 1],
  ['server', 'C', 'cut after', 1],
  ['server', 'Z', 'cut before', 1],
] as const)(
  'a %s message %s, %s: the writer hears nothing, and %i rows are there',
  async (from, type, verdict, rows) => {
    const { database, client } = await writer((message) =>
      message.from === from && message.type === type ? verdict : 'pass',
    )
    await expect(client.query(write)).rejects.toThrow(/Connection terminated|ECONNRESET/)
    await until('the session to be gone', async () => {
      const sessions = "SELECT count(*)::int FROM pg_stat_activity WHERE application_name = 'tested' AND datname = $1"
      return (await database.value<number>(sessions, [database.name])) === 0
    })
    expect(await count(database)).toBe(rows)
  },
)

test('an answer that is let through is heard before the connection ends', async () => {
  const { database, client } = await writer(({ from, type }) =>
    from === 'server' && type === 'Z' ? 'cut after' : 'pass',
  )
  const ended = new Promise((resolve) => client.once('end', resolve))
  expect((await client.query(write)).rows).toEqual([{ n: 1 }])
  await ended
  expect(await count(database)).toBe(1)
})

test('a prepared statement is known by its text the second time, too', async () => {
  const seen: string[] = []
  const { client } = await writer(({ from, type }) => {
    if (from === 'client') seen.push(type)
    return 'pass'
  })
  await client.query(write)
  await client.query(write)
  expect(seen.join('')).toBe('PBDESBDES')
})

test('what is held goes on when the proxy is healed', async () => {
  const { database, proxy, client } = await writer(({ type }) => (type === 'S' ? 'hold' : 'pass'))
  const written = client.query(write)
  await until('the server to wait for the end of the statement', async () => {
    const waits =
      "SELECT state || ' ' || wait_event FROM pg_stat_activity WHERE application_name = 'tested' AND datname = $1"
    return (await database.value<string>(waits, [database.name])) === 'active ClientRead'
  })
  expect(await count(database)).toBe(0)
  proxy.heal()
  expect((await written).rows).toEqual([{ n: 1 }])
  expect(await count(database)).toBe(1)
})

test('a blackhole passes nothing on, not even an end; healed, it passes on all of it', async () => {
  const database = await createDatabase()
  await database.query('CREATE TABLE t (n int)')
  const proxy = await startProxy(database.url)
  const client = await connect(proxy)
  proxy.blackhole(['to client'])
  const unanswered = client.query(write)
  unanswered.catch(() => undefined)
  await until('the row', async () => (await count(database)) === 1)
  proxy.blackhole()
  const unsent = client.query('INSERT INTO t VALUES (2)')
  const late = new pg.Client({ connectionString: proxy.url, connectionTimeoutMillis: 300 })
  await expect(late.connect()).rejects.toThrow('timeout')
  expect(await count(database)).toBe(1)
  proxy.heal()
  expect((await unanswered).rows).toEqual([{ n: 1 }])
  await unsent
  expect(await count(database)).toBe(2)
})

test('it refuses, and points elsewhere', async () => {
  const [here, there] = [await createDatabase(), await createDatabase()]
  await there.query('CREATE TABLE t (n int)')
  const proxy = await startProxy(here.url)
  const before = await connect(proxy)
  proxy.refuse()
  await expect(connect(proxy)).rejects.toThrow(/ECONNRESET|terminated/)
  expect((await before.query('SELECT 1 AS one')).rows).toEqual([{ one: 1 }])
  proxy.heal()
  expect(proxy.cut()).toBe(1)
  await expect(before.query('SELECT 1')).rejects.toThrow()
  proxy.pointTo(there.url)
  const after = await connect(proxy)
  expect((await after.query('SELECT current_database() AS name')).rows).toEqual([{ name: there.name }])
})
