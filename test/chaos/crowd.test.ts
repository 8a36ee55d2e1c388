import { expect, test } from 'vitest'
import { createControl } from '../../src/store/control.ts'
import { rescueRanges } from '../../src/store/rescue.ts'
import { createDatabase } from '../support/database.ts'
import { createItems, expectTouchedOnce } from '../support/items.ts'
import { startInProcess } from '../support/service.ts'
import { perCommit } from '../support/tier.ts'
import { until } from '../support/until.ts'

const leases = perCommit(100, { nightly: 1000 })

test('sixteen workers lose their leases again and again: no range is lost, none done twice', async () => {
  const rows = perCommit(20_000, { nightly: 90_000 })
  const database = await createDatabase()
  const jobs = await createItems(database, rows)
  const client = await startInProcess(database, jobs, { ROLE: 'api' })
  for (let process = 0; process < 4; process++) await startInProcess(database, jobs, { ROLE: 'worker' })
  const control = createControl(database.pool, 'evenkeel')
  // So slow that there is work left when all these leases are lost, on a slow machine too.
  const options = { parallelism: 16, batchSize: 20, maxRowsPerSecond: 400 }
  const id = await client.start('count', { options })

  const held = () =>
    database.value<number>("SELECT count(*)::int FROM evenkeel.ranges WHERE lease_owner IS NOT NULL AND phase = 'keys'")
  let most = 0
  let taken = 0
  while (taken < leases) {
    most = Math.max(most, await until('workers to hold most of the ranges', held, (count) => count >= 10))
    // What a rescuer does, with leases that have not run out: their workers are alive and in the middle of a batch or of a wait.
    taken += await control.transaction(async (tx) => {
      await tx.db.query('UPDATE evenkeel.ranges SET lease_until = to_timestamp(0) WHERE lease_owner IS NOT NULL')
      return rescueRanges(tx, 'test')
    })
  }
  expect(most).toBeLessThanOrEqual(16)
  await client.call('PATCH', `/runs/${id}`, { maxRowsPerSecond: null, batchSize: 1000 })
  const run = await client.reaches(id, ['succeeded'])
  expect(run.proof).toMatchObject({ rowsDone: rows, rowsScanned: rows })
  await expectTouchedOnce(database, rows)

  const ranges = (await client.ranges(id)).filter(({ phase }) => phase === 'keys')
  const bounds = ranges.map(({ lower, upper }) => [Number(lower?.[0] ?? 0), Number(upper?.[0])] as const)
  bounds.sort(([a], [b]) => a - b)
  expect(bounds.map(([lower]) => lower)).toEqual([0, ...bounds.map(([, upper]) => upper).slice(0, -1)])
  expect(bounds.at(-1)?.[1]).toBe(rows)
  expect(
    ranges.map(({ lower, upper, rowsScanned }) => Number(upper?.[0]) - Number(lower?.[0] ?? 0) - rowsScanned),
  ).toEqual(ranges.map(() => 0))
})
