import { expect, test } from 'vitest'
import { createDatabase, type TestDatabase } from '../support/database.ts'
import { createItems } from '../support/items.ts'
import { type Client, startInProcess } from '../support/service.ts'
import { until } from '../support/until.ts'

const rows = 20_000

/** A run whose windows have all passed, and whose rows of a condition match again before the check comes to them. */
async function undone(database: TestDatabase, client: Client, condition: string): Promise<string> {
  // One row is held, so that the run cannot go on to its check.
  const holder = await database.session()
  await holder.query('BEGIN; SELECT FROM items WHERE id = 1 FOR UPDATE')
  const id = await client.start('touch', { options: { batchSize: 500, parallelism: 2 } })
  await until(
    'all but one row to be done',
    () => database.value<number>('SELECT count(*)::int FROM items WHERE label IS NULL'),
    (left) => left === 1,
  )
  await until('the windows to be through', async () =>
    (await client.ranges(id)).every(({ phase, done }) => phase !== 'keys' || done),
  )
  await database.query(`UPDATE items SET label = NULL WHERE id <> 1 AND ${condition}`)
  await holder.query('COMMIT')
  return id
}

test('what the check finds in bulk goes back as ranges, is counted in the progress, and leaves few stragglers', async () => {
  const database = await createDatabase()
  const client = await startInProcess(database, await createItems(database, rows))
  const id = await undone(database, client, 'id BETWEEN 5001 AND 15000')
  let most = 0
  const shown = new Set<number>()
  const run = await until(
    'the run to succeed',
    async () => {
      const now = await client.run(id)
      most = Math.max(most, now.progress.stragglers)
      shown.add(now.progress.rowsTotal)
      return now
    },
    ({ status }) => status === 'succeeded',
  )
  expect(most).toBeLessThanOrEqual(40)
  expect(run.proof).toMatchObject({ rowsDone: rows + 10_000, rowsChecked: rows, residual: 0 })
  const sent = (await client.ranges(id))
    .slice(-8)
    .filter(({ phase, rowsScanned }) => phase === 'keys' && rowsScanned > 0)
  const again = await database.query<{ rows: number }>(
    'SELECT sum(rows_again)::int AS rows FROM evenkeel.ranges WHERE run_id = $1',
    [id],
  )
  expect(sent.length).toBeGreaterThan(0)
  // The windows at the two edges hold some rows beside.
  expect(again[0]?.rows).toBeGreaterThanOrEqual(10_000)
  expect(again[0]?.rows).toBeLessThanOrEqual(12_000)
  expect(await database.value('SELECT count(*)::int FROM evenkeel.leftovers')).toBe(0)
  expect(await database.query('SELECT touched, count(*)::int AS rows FROM items GROUP BY 1 ORDER BY 1')).toEqual([
    { touched: 1, rows: rows - 10_000 },
    { touched: 2, rows: 10_000 },
  ])
})

test('rows that match in many places are sent back in a bounded number of ranges', async () => {
  const database = await createDatabase()
  const client = await startInProcess(database, await createItems(database, rows))
  // Every other window of the check.
  const id = await undone(database, client, '(id / 500) % 2 = 0')
  const run = await client.reaches(id, ['succeeded'])
  expect(run.proof).toMatchObject({ residual: 0 })
  const ranges = await database.value<number>(
    'SELECT count(*)::int FROM evenkeel.ranges WHERE run_id = $1 AND rows_again IS NOT NULL',
    [id],
  )
  const checks = (await client.ranges(id)).filter(({ phase }) => phase === 'residual').length
  expect(ranges).toBeGreaterThan(0)
  expect(ranges).toBeLessThanOrEqual(16 * checks)
  expect(await database.value('SELECT count(*)::int FROM items WHERE label IS NULL')).toBe(0)
})

test('few rows are still done one by one, and a check tells how far it is', async () => {
  const database = await createDatabase()
  const client = await startInProcess(database, await createItems(database, rows))
  const id = await undone(database, client, 'id % 2000 = 0')
  const checks: number[] = []
  const run = await until(
    'the run to succeed',
    async () => {
      const now = await client.run(id)
      if (now.progress.check) checks.push(now.progress.check.rowsTotal)
      return now
    },
    ({ status }) => status === 'succeeded',
  )
  for (const total of checks) expect(total).toBe(rows)
  expect(run.proof).toMatchObject({ rowsScanned: rows, rowsDone: rows + 10, residual: 0 })
  expect(
    await database.value('SELECT count(*)::int FROM evenkeel.ranges WHERE run_id = $1 AND rows_again IS NOT NULL', [
      id,
    ]),
  ).toBe(0)
})
