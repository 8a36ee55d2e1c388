import { expect, test } from 'vitest'
import { Cutter, phaseOf } from '../support/cuts.ts'
import { createDatabase } from '../support/database.ts'
import { createItems, expectTouchedOnce } from '../support/items.ts'
import { startProxy } from '../support/proxy.ts'
import { type Client, startInProcess } from '../support/service.ts'
import { until } from '../support/until.ts'

interface RangeBody {
  readonly kind: string
  readonly rowsDone: number
  readonly rowsScanned: number
}

/** The run has counted each row once, as a whole and in its ranges. */
async function expectCounted(client: Client, id: string, rows: number): Promise<void> {
  expect((await client.run(id)).proof).toMatchObject({ rowsDone: rows, rowsScanned: rows, rowsGone: 0 })
  const { body } = await client.call<{ ranges: RangeBody[] }>('GET', `/runs/${id}/ranges`)
  const sum = (kind: string, of: 'rowsDone' | 'rowsScanned') =>
    body.ranges.filter((range) => range.kind === kind).reduce((total, range) => total + range[of], 0)
  expect(sum('keys', 'rowsScanned')).toBe(rows)
  expect(sum('residual', 'rowsScanned')).toBe(rows)
  expect(sum('keys', 'rowsDone') + sum('stragglers', 'rowsDone')).toBe(rows)
}

test.each(['touch', 'count'])(
  'batches of %s whose connection is cut before, during and after their commit, a hundred times each',
  async (job) => {
    // Enough for sixteen ranges: a range waits a moment after each cut.
    const [rows, held] = [80_000, 400]
    const database = await createDatabase()
    const jobs = await createItems(database, rows)
    const cutter = new Cutter({
      application: 'evenkeel engine',
      kindOf: phaseOf,
      times: { keys: 100, stragglers: 10, residual: 10 },
      oneIn: 2,
    })
    const proxy = await startProxy(database.url, cutter.watch)
    const other = await database.session()
    await other.query('BEGIN')
    await other.query('SELECT FROM items WHERE id % $1 = 0 FOR UPDATE', [rows / held])
    const client = await startInProcess(proxy, jobs)
    const id = await client.start(job, { options: { parallelism: 16, batchSize: 20 } })
    const inBatchesOf = (batchSize: number) => client.call('PATCH', `/runs/${id}`, { batchSize })

    await until('all cuts of key ranges', () => cutter.isDoneWith('keys'), Boolean, 90)
    await inBatchesOf(1000)
    await until(
      'only held rows to be left',
      () => client.run(id),
      ({ progress }) => progress.rowsDone === rows - held,
    )
    await inBatchesOf(5)
    await other.query('COMMIT')
    await until('all cuts of stragglers', () => cutter.isDoneWith('stragglers'))
    await inBatchesOf(500)
    await client.reaches(id, ['succeeded'], 90)
    expect(cutter.counts).toEqual(cutter.wanted)
    await expectTouchedOnce(database, rows)
    await expectCounted(client, id, rows)
  },
)
