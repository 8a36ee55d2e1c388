import { Redis } from 'ioredis'
import { describe, expect, onTestFinished, test } from 'vitest'
import { startRedis } from '../../src/embedded/index.ts'
import { consumeTickets } from '../../src/queue/consumer.ts'
import type { QueueLocation } from '../../src/queue/location.ts'
import { openQueue } from '../../src/queue/queue.ts'
import { prepareQueue } from '../../src/queue/schema.ts'
import { createEmptyDatabase, type TestDatabase } from '../support/database.ts'
import { createItems, expectTouchedOnce } from '../support/items.ts'
import { startPostgres } from '../support/postgres.ts'
import { queueKind, startInProcess } from '../support/service.ts'
import { perCommit } from '../support/tier.ts'
import { until } from '../support/until.ts'

const kB = 1024

interface Size {
  readonly name: string
  /** Of the table, and of its indexes. Bytes. */
  readonly table: number
  readonly indexes: number
  readonly rows: number
  readonly dead: number
}

function measure(database: TestDatabase, schema: string): Promise<Size[]> {
  return database.query<Size>(
    `SELECT c.relname AS name, pg_table_size(c.oid)::float8 AS table, pg_indexes_size(c.oid)::float8 AS indexes,
       pg_stat_get_live_tuples(c.oid)::int AS rows, pg_stat_get_dead_tuples(c.oid)::int AS dead
     FROM pg_class c WHERE c.relnamespace = $1::regnamespace AND c.relkind = 'r' ORDER BY c.relname`,
    [schema],
  )
}

const total = ({ table, indexes }: Size) => table + indexes

/** The most that was seen of each table. */
class Most {
  readonly #seen = new Map<string, Size>()

  see(sizes: readonly Size[]): void {
    for (const size of sizes) {
      const before = this.#seen.get(size.name) ?? size
      this.#seen.set(size.name, {
        name: size.name,
        table: Math.max(before.table, size.table),
        indexes: Math.max(before.indexes, size.indexes),
        rows: Math.max(before.rows, size.rows),
        dead: Math.max(before.dead, size.dead),
      })
    }
  }

  get sizes(): Size[] {
    return [...this.#seen.values()]
  }

  of(name: string): Size {
    return this.#seen.get(name) as Size
  }
}

// Whichever queue the tickets are on, a batch writes the same.
test.runIf(queueKind === 'postgres').for(perCommit(['touch'], { nightly: ['count', 'touch'] }))(
  'thousands of batches of job %s leave the control tables small, without any vacuum',
  async (job) => {
    const rows = perCommit(2000, { nightly: 10_000 })
    // A Postgres of its own: a transaction of somebody else, in whichever of its databases, keeps dead rows from being pruned.
    // Nor does vacuum come to the tables before their sizes are looked at.
    const server = await startPostgres({ settings: { autovacuum: 'off' } })
    onTestFinished(() => server.stop())
    const database = await createEmptyDatabase(server.url)
    const client = await startInProcess(database, await createItems(database, rows))
    // A row a batch; the check at the end reads in windows of one row, too.
    const id = await client.start(job, { options: { batchSize: 1, parallelism: 4 } })
    const batches = () =>
      database.value<number>("SELECT sum(batches)::int FROM evenkeel.ranges WHERE phase <> 'stragglers'")
    const most = new Most()
    await until(
      'the run to end',
      async () => {
        most.see(await measure(database, 'evenkeel'))
        return (await client.run(id)).status
      },
      (status) => status === 'succeeded',
    )
    most.see(await measure(database, 'evenkeel'))
    expect(await batches()).toBeGreaterThanOrEqual(rows)
    await expectTouchedOnce(database, rows)
    console.table(most.sizes.filter((size) => size.rows > 0).map(({ name, ...size }) => ({ job, name, ...size })))
    const ranges = most.of('ranges')
    expect(ranges.rows).toBeLessThan(100)
    // About a page for each, with room for new versions; what is dead is pruned by whoever comes next.
    expect(ranges.table).toBeLessThan((2 * ranges.rows + 8) * 8 * kB)
    expect(ranges.indexes).toBeLessThan(64 * kB)
    expect(ranges.dead).toBeLessThan(1000)
    // An index has two pages when it holds next to nothing, and `runs` has eight.
    for (const size of most.sizes.filter(({ name }) => name !== 'ranges'))
      expect(total(size), JSON.stringify(size)).toBeLessThan(192 * kB)
    expect(most.of('events').rows).toBeLessThan(50)
  },
)

describe('the queue', () => {
  /** Puts tickets out, a few at a time, and has all of them used up. */
  async function useUp(location: QueueLocation, instance: string, tickets: number): Promise<void> {
    const errors: Error[] = []
    const options = { location, instance, onError: (error: Error) => errors.push(error) }
    const queue = openQueue(options)
    let used = 0
    const consumer = consumeTickets(options, 4, async () => {
      used += 1
    })
    const atOnce = 50
    for (let put = 0; put < tickets; put += atOnce) {
      await queue.put(
        Array.from({ length: atOnce }, (_, index) => ({
          id: `run-1.${index}.${instance}${put}`,
          runId: 'run-1',
          ordinal: index,
          delaySeconds: 0,
        })),
      )
      await until(
        'the tickets to be used up',
        () => used,
        (count) => count >= put + atOnce,
      )
    }
    consumer.stop()
    await consumer.close()
    await queue.close()
    expect(errors).toEqual([])
  }

  test('is small after a thousand tickets and after some thousands, and remembers none', async () => {
    if (queueKind === 'redis') {
      // Other tests flush the one that they share.
      const own = await startRedis()
      onTestFinished(() => own.stop())
      await useUp({ kind: 'redis', url: own.url }, 'upkeep', 4000)
      const redis = new Redis(own.url)
      const keys = await redis.keys('*')
      const events = await redis.xlen(keys.find((key) => key.endsWith(':events')) as string)
      await redis.quit()
      expect(keys.length).toBeLessThan(20)
      expect(events).toBeLessThan(500)
      return
    }
    // Of its own for the same reason as above.
    const server = await startPostgres()
    onTestFinished(() => server.stop())
    const database = await createEmptyDatabase(server.url)
    const location = { kind: 'postgres', url: database.url, schema: 'evenkeel_queue' } as const
    await prepareQueue(location)
    const sizes: number[] = []
    for (const round of perCommit(['one', 'two'], { nightly: ['one', 'two', 'three', 'four'] })) {
      await useUp(location, round, 1000)
      // What autovacuum does every minute.
      await database.query('VACUUM')
      const tables = await measure(database, location.schema)
      console.table(tables.filter(({ rows }) => rows > 0).map((size) => ({ round, ...size })))
      sizes.push(tables.reduce((sum, size) => sum + total(size), 0))
    }
    // Nearly all of it are BullMQ's own events, of which it keeps about a hundred, and not of every ticket.
    for (const size of sizes) expect(size, String(sizes)).toBeLessThan(2048 * kB)
    expect(await database.value('SELECT count(*)::int FROM evenkeel_queue.job')).toBe(0)
    expect(await database.value<number>('SELECT count(*)::int FROM evenkeel_queue.event')).toBeLessThan(1500)
  })
})
