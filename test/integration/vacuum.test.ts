import { describe, expect, test } from 'vitest'
import type { DryRun, Run } from '../../src/client/openapi.ts'
import { createDatabase, type TestDatabase } from '../support/database.ts'
import { createItems, expectTouchedOnce } from '../support/items.ts'
import { type Client, queueKind, startInProcess } from '../support/service.ts'
import { until } from '../support/until.ts'

// Nothing here depends on the queue: once is enough.
const inDatabase = describe.skipIf(queueKind === 'redis')

const rows = 40_000

/** Over the limit, and not slowed by it, or waiting until it is well below. */
function isHeld(throttle: Run['throttle']): boolean {
  return throttle?.signal === 'dead-tuples' && throttle.reason.includes('the limit is')
}

async function heldBy(client: Client, id: string) {
  const { throttle } = await until(
    `run ${id} to be held for its dead rows`,
    () => client.run(id),
    (run) => isHeld(run.throttle),
  )
  return throttle as NonNullable<typeof throttle>
}

async function itemsBytes(database: TestDatabase): Promise<number> {
  return database.value<number>("SELECT pg_relation_size('items')::int")
}

async function items(autovacuum: string) {
  const database = await createDatabase()
  const jobs = await createItems(database, rows)
  await database.query(`ALTER TABLE items SET (${autovacuum})`)
  await database.query('VACUUM ANALYZE items')
  return { database, client: await startInProcess(database, jobs) }
}

/** What a table has grown by, as a part of what it was, when a run is through. */
async function growthOf(database: TestDatabase, work: () => Promise<void>): Promise<number> {
  const before = await itemsBytes(database)
  await work()
  return (await itemsBytes(database)) / before - 1
}

inDatabase('a limit of dead rows', () => {
  test('has a run wait for vacuum, again and again, and the table grows much less', async () => {
    const { database, client } = await items('autovacuum_enabled = off')
    const options = { batchSize: 200, maxRowsPerSecond: 3000, signals: { 'dead-tuples': 0.15 } }
    const holds = new Set<string>()
    const grown = await growthOf(database, async () => {
      const id = await client.start('touch', { options })
      const held = await heldBy(client, id)
      expect(held.limit).toBe(0.15)
      expect(held.reason).toMatch(
        /^dead-tuples is [123]\d % \(table "public"\."items"\); the limit is 15 %\. Autovacuum is switched off: VACUUM "public"\."items" by hand/,
      )
      await until(
        'the run to succeed',
        async () => {
          const { status, throttle } = await client.run(id)
          // More than once, where it has to be: while another transaction is open, vacuum leaves rows that died before it ended.
          if (throttle && isHeld(throttle)) {
            await database.query('VACUUM items')
            holds.add(throttle.since)
          }
          return status
        },
        (status) => status === 'succeeded',
        100,
      )
    })
    expect(holds.size).toBeGreaterThanOrEqual(2)
    await expectTouchedOnce(database, rows)

    // The same in one statement, as a script would do it: nothing that it leaves behind can be used again.
    await database.query('VACUUM FULL items')
    const grownAtOnce = await growthOf(database, async () => {
      await database.query('UPDATE items SET label = NULL, touched = 0')
    })
    expect(grown).toBeLessThan(0.75 * grownAtOnce)
  })

  test('may be a number of rows', async () => {
    const { database, client } = await items('autovacuum_enabled = off')
    const options = { batchSize: 200, maxRowsPerSecond: 4000, signals: { 'dead-tuples': 8000 } }
    const id = await client.start('touch', { options })
    const held = await heldBy(client, id)
    expect(held.reason).toMatch(
      /^dead-tuples is \d{1,2},\d{3} rows \(table "public"\."items"\); the limit is 8,000 rows\. /,
    )
    expect(held).toMatchObject({ limit: 8000, value: expect.any(Number) })
    expect(held.value).toBeGreaterThanOrEqual(8000)
    await database.query('VACUUM items')
    await until(
      'it to go on',
      () => client.run(id),
      ({ throttle, progress }) => throttle?.signal !== 'dead-tuples' && progress.rowsDone > 0,
    )
    await client.call('POST', `/runs/${id}/cancel`)

    const refused = await client.call<{ detail: string }>('POST', '/runs', {
      job: 'touch',
      options: { signals: { 'dead-tuples': 20 } },
    })
    expect(refused.status).toBe(400)
    expect(refused.body.detail).toContain('a part of the table below 1 (0.2 is a fifth), or a number of dead rows')
  })

  test('that autovacuum does not come before is told beforehand, and while the run is held', async () => {
    const { client } = await items('autovacuum_vacuum_scale_factor = 0.4')
    const options = { signals: { 'dead-tuples': 0.1 }, batchSize: 1000 }
    const told =
      'The run is held at 4,444 dead rows (signals.dead-tuples) and goes on when they are vacuumed, but autovacuum runs only at 16,050: ALTER TABLE public.items SET (autovacuum_vacuum_scale_factor = 0.05), or VACUUM public.items by hand each time the run is held.'
    const { body } = await client.call<DryRun>('POST', '/runs', { job: 'touch', options, dryRun: true })
    expect(body.space?.findings).toContain(told)
    const id = await client.start('touch', { options: { ...options, maxRowsPerSecond: 2000 } })
    const { body: log } = await client.call<{ events: Array<{ kind: string; detail: { findings: string[] } }> }>(
      'GET',
      `/runs/${id}/events`,
    )
    expect(log.events[0]?.detail.findings).toContain(told)
    const { reason } = await heldBy(client, id)
    expect(reason).toMatch(
      /; the limit is 10 %\. Autovacuum does not run before 16,050 dead rows, and there are \d{1,2},\d{3}: VACUUM "public"\."items" by hand, and let it run earlier: ALTER TABLE "public"\."items" SET \(autovacuum_vacuum_scale_factor = 0\.\d+\)\.$/,
    )
    await client.call('POST', `/runs/${id}/cancel`)
  })

  test('that autovacuum comes before is not complained of, and dead rows above its threshold are told to be due', async () => {
    const { database, client } = await items('autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 10')
    const options = { signals: { 'dead-tuples': 0.1 }, batchSize: 1000, maxRowsPerSecond: 4000 }
    const { body } = await client.call<DryRun>('POST', '/runs', { job: 'touch', options, dryRun: true })
    expect(body.space?.findings).toEqual([])
    expect(body.space?.withVacuum?.ratio).toBeLessThan(body.space?.withoutVacuum.ratio ?? 0)
    const id = await client.start('touch', { options })
    const { reason } = await heldBy(client, id)
    expect(reason).toContain('Autovacuum is due')
    await database.query('VACUUM items')
    await client.call('PATCH', `/runs/${id}`, { signals: { 'dead-tuples': false }, maxRowsPerSecond: null })
    await client.reaches(id, ['succeeded'])
  })
})
