import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import type { Range } from '../../src/client/openapi.ts'
import { createControl } from '../../src/store/control.ts'
import { rescueRanges } from '../../src/store/rescue.ts'
import { createDatabase } from '../support/database.ts'
import { countDone, createItems, expectTouchedOnce, untilDone } from '../support/items.ts'
import { spawnService, startInProcess } from '../support/service.ts'
import { until } from '../support/until.ts'

test('promise 2: workers whose ranges were taken away while they write change nothing more', async () => {
  const rows = 40_000
  const database = await createDatabase()
  const client = await startInProcess(database, await createItems(database, rows))
  const control = createControl(database.pool, 'evenkeel')
  const id = await client.start('count', { options: { batchSize: 50, maxRowsPerSecond: 6000 } })
  let taken = 0
  for (let share = 0.02; share < 0.5; share += 0.02) {
    await untilDone(database, rows * share)
    // What a rescuer does, with leases that have not run out: their workers are alive, in the middle of their slices, and
    // the ranges go to other slots of theirs.
    taken += await control.transaction(async (tx) => {
      await tx.db.query('UPDATE evenkeel.ranges SET lease_until = to_timestamp(0) WHERE lease_owner IS NOT NULL')
      return rescueRanges(tx, 'test')
    })
  }
  expect(taken).toBeGreaterThan(20)
  await client.call('PATCH', `/runs/${id}`, { maxRowsPerSecond: null })
  await client.reaches(id, ['succeeded'])
  await expectTouchedOnce(database, rows)
  const { rowsDone, rowsScanned } = (await client.run(id)).progress
  expect([rowsDone, rowsScanned]).toEqual([rows, rows])
})

test('a worker whose lease is taken away changes nothing more, though nobody else moves the cursor', async () => {
  const rows = 40_000
  const database = await createDatabase()
  const client = await startInProcess(database, await createItems(database, rows))
  const id = await client.start('count', { options: { batchSize: 50, maxRowsPerSecond: 2000 } })
  await untilDone(database, 1000)
  // Somebody has them who does nothing: the epoch alone tells the workers that their ranges are not theirs any more.
  const taken = await database.query(
    `UPDATE evenkeel.ranges SET epoch = epoch + 1, lease_owner = 'idle', lease_until = clock_timestamp() + interval '50 seconds'
     WHERE NOT done RETURNING ordinal`,
  )
  expect(taken.length).toBeGreaterThan(0)
  const batches = () => database.query('SELECT ordinal, epoch, cursor, batches FROM evenkeel.ranges ORDER BY ordinal')
  const [done, then] = [await countDone(database), await batches()]
  expect(done).toBeLessThan(rows / 2)
  await sleep(2000)
  expect([await countDone(database), await batches()]).toEqual([done, then])
  await database.query("UPDATE evenkeel.ranges SET lease_until = to_timestamp(0) WHERE lease_owner = 'idle'")
  await client.call('PATCH', `/runs/${id}`, { maxRowsPerSecond: null })
  await client.reaches(id, ['succeeded'])
  await expectTouchedOnce(database, rows)
})

test('the ranges of a worker that is stopped go to another one, and it does no harm when it wakes', async () => {
  const rows = 30_000
  const database = await createDatabase()
  const jobs = await createItems(database, rows)
  const client = await startInProcess(database, jobs, { ROLE: 'api' })
  const id = await client.start('count', { options: { maxRowsPerSecond: 3000 } })
  const ranges = () => client.ranges(id)
  const heldBy = (pid: number | undefined) => (all: readonly Range[]) =>
    all.some((range) => range.leaseOwner?.endsWith(`-${pid}`))
  const sleeper = await spawnService(database, jobs, { ROLE: 'worker' })
  await untilDone(database, 1000)
  await until('the first worker to hold a range', ranges, heldBy(sleeper.process.pid))
  sleeper.process.kill('SIGSTOP')
  const successor = await spawnService(database, jobs, { ROLE: 'worker' })
  await until('the ranges to have changed hands', ranges, heldBy(successor.process.pid))
  sleeper.process.kill('SIGCONT')
  await client.call('PATCH', `/runs/${id}`, { maxRowsPerSecond: null })
  await client.reaches(id, ['succeeded'])
  await expectTouchedOnce(database, rows)
})
