import { expect, test } from 'vitest'
import { createDatabase } from '../support/database.ts'
import { countDone, createItems, expectTouchedOnce } from '../support/items.ts'
import { jobSource, jobsFolder, startOnDatabases } from '../support/service.ts'
import { until } from '../support/until.ts'

/** What the job below waits for whenever its parameters are read: the process of the service is that of the test. */
const reading = globalThis as { readingStarted?: () => void; readingMayEnd?: Promise<void> }

/**
 * A run of two databases whose part in us was never written; and the call that completes it, which has looked at the run, reads the
 * job's parameters, and writes nothing until it is let go.
 */
async function completeLate() {
  const shards = { eu: await createDatabase(), us: await createDatabase() }
  for (const shard of Object.values(shards)) await createItems(shard, 100)
  const jobs = await jobsFolder({
    'count.ts': jobSource({
      name: 'count',
      table: 'items',
      rest: `params: z.object({}).refine(async () => {
        const given = globalThis as { readingStarted?: () => void; readingMayEnd?: Promise<void> }
        given.readingStarted?.()
        await given.readingMayEnd
        return true
      }), set: { touched: sql\`touched + 1\` }`,
    }),
  })
  const client = await startOnDatabases(shards, jobs, { ROLE: 'api' })
  const key = { 'idempotency-key': 'k' }
  const { id } = (await client.call('POST', '/runs', { job: 'count' }, key)).body
  await shards.us.query('DELETE FROM evenkeel.runs')
  let letGo: () => void = () => undefined
  let started = false
  reading.readingStarted = () => {
    started = true
  }
  reading.readingMayEnd = new Promise((resolve) => {
    letGo = resolve
  })
  const completing = client.call('POST', '/runs', { job: 'count' }, key)
  await until('the call to read the parameters', () => started)
  const complete = async () => {
    reading.readingMayEnd = Promise.resolve()
    letGo()
    return completing
  }
  const work = () => startOnDatabases(shards, jobs, { ROLE: 'worker' })
  return { shards, client, id, complete, work }
}

test('a run that was cancelled while its start was completed stays so, and nothing is written', async () => {
  const { shards, client, id, complete } = await completeLate()
  const cancelled = await client.call('POST', `/runs/${id}/cancel`)
  expect([cancelled.status, cancelled.body.status]).toEqual([200, 'cancelled'])
  const { status, body } = await complete()
  expect([status, body.id, body.status]).toEqual([201, id, 'cancelled'])
  expect(await shards.us.value('SELECT count(*)::int FROM evenkeel.runs')).toBe(0)
})

test('one that was paused is completed paused, for the same reasons, and goes on with a resume', async () => {
  const { shards, client, id, complete, work } = await completeLate()
  await client.call('POST', `/runs/${id}/pause`, { reason: 'not yet' })
  const { body } = await complete()
  expect([body.id, body.status, body.reason]).toEqual([id, 'paused', 'not yet'])
  expect(body.databases?.us).toMatchObject({ status: 'paused', reason: 'not yet' })
  expect(body.pauses.map(({ databases }) => databases)).toEqual([['eu', 'us']])
  await work()
  await client.call('POST', `/runs/${id}/resume?database=eu`)
  await until('eu to be done', async () => (await countDone(shards.eu)) === 100)
  expect(await countDone(shards.us)).toBe(0)
  await client.call('POST', `/runs/${id}/resume`)
  await client.reaches(id, ['succeeded'])
  for (const shard of Object.values(shards)) await expectTouchedOnce(shard, 100)
})

test('one that was paused with everything is completed paused, and goes on with everything', async () => {
  const { shards, client, id, complete, work } = await completeLate()
  await client.call('POST', '/pause', { reason: 'deploy' })
  const { body } = await complete()
  expect([body.status, body.databases?.us?.status]).toEqual(['paused', 'paused'])
  await work()
  await client.call('POST', '/resume')
  await client.reaches(id, ['succeeded'])
  await expectTouchedOnce(shards.us, 100)
})

test('one that nobody stopped is completed, and works', async () => {
  const { shards, client, id, complete, work } = await completeLate()
  const { body } = await complete()
  expect([body.id, body.databases?.us?.status]).toEqual([id, 'queued'])
  await work()
  await client.reaches(id, ['succeeded'])
  await expectTouchedOnce(shards.us, 100)
})
