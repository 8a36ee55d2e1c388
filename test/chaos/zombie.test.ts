import { expect, test } from 'vitest'
import { createDatabase } from '../support/database.ts'
import { countDone, createItems, expectTouchedOnce } from '../support/items.ts'
import { spawnService, startInProcess } from '../support/service.ts'
import { until } from '../support/until.ts'

interface Ranges {
  readonly ranges: ReadonlyArray<{ ordinal: number; epoch: string; leaseOwner: string | null; cursor: string[] | null }>
}

test('promise 2: a worker that slept through its lease wakes up and changes nothing', async () => {
  const rows = 30_000
  const database = await createDatabase()
  const jobs = await createItems(database, rows)
  const client = await startInProcess(database, jobs, { ROLE: 'api' })
  const id = await client.start('count', { options: { maxRowsPerSecond: 3000 } })
  const sleeper = await spawnService(database, jobs, { ROLE: 'worker' })
  await until(
    'the first worker to get on',
    () => countDone(database),
    (done) => done > 1000,
  )
  const before = (await client.call<Ranges>('GET', `/runs/${id}/ranges`)).body.ranges
  const name = before.find((range) => range.leaseOwner !== null)?.leaseOwner
  expect(name).toMatch(new RegExp(`-${sleeper.process.pid}$`))
  sleeper.process.kill('SIGSTOP')

  // The second worker takes the ranges over; from then on the first one's epoch is the older.
  const successor = await spawnService(database, jobs, { ROLE: 'worker' })
  await until(
    'the ranges to have changed hands',
    async () => (await client.call<Ranges>('GET', `/runs/${id}/ranges`)).body.ranges,
    (ranges) => ranges.some((range) => range.leaseOwner?.endsWith(`-${successor.process.pid}`)),
  )
  sleeper.process.kill('SIGCONT')
  await client.call('PATCH', `/runs/${id}`, { maxRowsPerSecond: null })
  await client.reaches(id, ['succeeded'])
  await expectTouchedOnce(database, rows)
  const { rowsDone, rowsScanned } = (await client.run(id)).progress
  expect([rowsDone, rowsScanned]).toEqual([rows, rows])
})
