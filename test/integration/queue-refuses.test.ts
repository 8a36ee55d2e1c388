import { Redis } from 'ioredis'
import { describe, expect, onTestFinished, test } from 'vitest'
import { findRedis, startRedis } from '../../src/embedded/index.ts'
import { createDatabase } from '../support/database.ts'
import { createItems, expectTouchedOnce, untilDone } from '../support/items.ts'
import { startInProcess } from '../support/service.ts'
import { until } from '../support/until.ts'

async function ownRedis(settings: Readonly<Record<string, string>> = {}) {
  const server = await startRedis({ settings })
  const admin = new Redis(server.url)
  onTestFinished(async () => {
    admin.disconnect()
    await server.stop()
  })
  return { server, admin }
}

describe.runIf((await findRedis()) !== null)('a Redis', () => {
  test('in cluster mode carries the tickets: all keys are in one slot', async () => {
    const { server, admin } = await ownRedis({ 'cluster-enabled': 'yes' })
    await admin.call('CLUSTER', 'ADDSLOTSRANGE', '0', '16383')
    await until('the cluster to be whole', async () =>
      String(await admin.call('CLUSTER', 'INFO')).includes('cluster_state:ok'),
    )
    const database = await createDatabase()
    const client = await startInProcess(database, await createItems(database, 1000), { REDIS_URL: server.url })
    await client.reaches(await client.start('count'), ['succeeded'], 30)
    await expectTouchedOnce(database, 1000)
  })

  test('that takes no tickets is told by the run and by /readyz, and the run goes on once it does', async () => {
    const { server, admin } = await ownRedis()
    const database = await createDatabase()
    const client = await startInProcess(database, await createItems(database, 1000), { REDIS_URL: server.url })
    const queue = async () => (await client.call<{ queue: string }>('GET', '/readyz')).body.queue
    expect(await queue()).toBe('ok')
    const troubles = [
      {
        words: /OOM/,
        begin: () => admin.config('SET', 'maxmemory', '1'),
        end: () => admin.config('SET', 'maxmemory', '0'),
      },
      { words: /READONLY/, begin: () => admin.replicaof('127.0.0.1', 1), end: () => admin.replicaof('NO', 'ONE') },
      {
        words: /NOPERM/,
        begin: () => admin.call('ACL', 'SETUSER', 'default', '-evalsha', '-eval'),
        end: () => admin.call('ACL', 'SETUSER', 'default', '+@all'),
      },
    ]
    for (const { words, begin, end } of troubles) {
      await begin()
      const id = await client.start('count', { again: true })
      const { throttle } = await until(
        'the run to say so',
        () => client.run(id),
        (run) => run.throttle !== null,
        20,
      )
      expect(throttle).toMatchObject({ signal: 'queue', reason: expect.stringMatching(words) })
      expect(throttle?.reason).toMatch(/^The queue has taken no tickets since 20.*It is tried again every second\.$/)
      await until('/readyz to say so', async () => (await queue()) === 'takes no tickets', Boolean, 20)
      await end()
      expect((await client.reaches(id, ['succeeded'], 30)).throttle).toBeNull()
      await until('/readyz to be ok', async () => (await queue()) === 'ok', Boolean, 20)
    }
  })

  test('that is away is told by the run', async () => {
    const { server } = await ownRedis()
    const database = await createDatabase()
    const client = await startInProcess(database, await createItems(database, 1000), { REDIS_URL: server.url })
    await server.kill()
    const id = await client.start('count')
    await until(
      'the run to say so',
      () => client.run(id),
      (run) => /^The queue has taken no tickets since/.test(run.throttle?.reason ?? ''),
      20,
    )
    await server.restart()
    await client.reaches(id, ['succeeded'], 30)
  })
})

test.each([
  ['its schema', 'DROP SCHEMA evenkeel_queue CASCADE'],
  ['a table', 'DROP TABLE evenkeel_queue.job CASCADE'],
  ['a function', 'DROP FUNCTION evenkeel_queue.add_jobs_bulk CASCADE'],
])(
  'a queue on Postgres that loses %s in the middle of a run gets it again, and the run goes on',
  async (_what, drop) => {
    const rows = 12_000
    const database = await createDatabase()
    const redis = { REDIS_URL: '' }
    const client = await startInProcess(database, await createItems(database, rows), redis)
    const id = await client.start('count', { options: { maxRowsPerSecond: 4000 } })
    await untilDone(database, rows / 10)
    await database.query(drop)
    await client.reaches(id, ['succeeded'], 60)
    await expectTouchedOnce(database, rows)
    expect((await client.call<{ queue: string }>('GET', '/readyz')).body.queue).toBe('ok')
  },
)
