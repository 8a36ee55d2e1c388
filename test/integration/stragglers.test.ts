import { describe, expect, test } from 'vitest'
import { createDatabase } from '../support/database.ts'
import { countDone, createItems, expectTouchedOnce } from '../support/items.ts'
import { startInProcess } from '../support/service.ts'
import { inTurn } from '../support/tier.ts'
import { until } from '../support/until.ts'

const rows = 5000

const cases = [
  { held: 1, job: 'touch' },
  { held: rows, job: 'count' },
  { held: 100, job: 'touch' },
  { held: rows, job: 'touch' }, // every window
  { held: 200, job: 'count' }, // a whole window
]

describe('promise 4: nothing is skipped in silence', () => {
  test.for(inTurn(cases, 3))(
    '$held rows held by another session come back to $job and are done once',
    async ({ held, job }) => {
      const database = await createDatabase()
      const client = await startInProcess(database, await createItems(database, rows))
      const other = await database.session()
      await other.query('BEGIN')
      await other.query('SELECT FROM items WHERE id BETWEEN 1001 AND 1000 + $1 OR $1 = 5000 FOR UPDATE', [held])
      const id = await client.start(job, { options: { batchSize: 200 } })
      const waiting = await until(
        'the run to wait for them',
        () => client.run(id),
        (run) => run.reason !== null,
      )
      expect(waiting.status).toBe('running')
      expect(waiting.reason).toContain(`${held} ${held === 1 ? 'row is' : 'rows are'} held by other sessions`)
      expect(waiting.progress).toMatchObject({ rowsDone: rows - held, rowsScanned: rows, stragglers: held })
      expect(waiting.progress.ratio).toBeLessThan(1)
      expect(await countDone(database)).toBe(rows - held)

      // As long as they are held it asks again and again, and never says that it has succeeded.
      const updates = () => database.value<number>('SELECT coalesce(sum(attempts), 0)::int FROM evenkeel.stragglers')
      const sweeps = () => database.value<number>("SELECT batches::int FROM evenkeel.ranges WHERE phase = 'stragglers'")
      const before = await sweeps()
      await until('them to be tried again', sweeps, (batches) => batches >= before + 3)
      // Nothing is written of a row that is only found held again: it could not be vacuumed as long as it is.
      expect(await updates()).toBe(0)
      expect((await client.run(id)).status).toBe('running')

      await other.query('COMMIT')
      const run = await client.reaches(id, ['succeeded'])
      expect(run.progress).toMatchObject({ rowsDone: rows, stragglers: 0 })
      await expectTouchedOnce(database, rows)
      // Waiting for them is no trouble: no lease ran out meanwhile.
      const events = await client.events(id)
      expect(events.map((event) => event.kind)).toEqual(['created', 'start', 'verify', 'succeed'])
    },
  )

  test.for(['touch', 'count'])('a row that several sessions hold is left like any other, in %s', async (job) => {
    const database = await createDatabase()
    const client = await startInProcess(database, await createItems(database, 5000))
    await database.query('CREATE TABLE children (item bigint REFERENCES items)')
    const holders = [await database.session(), await database.session(), await database.session()]
    for (const holder of holders) await holder.query('BEGIN')
    // Each of these rows has a multixact for an xmax: two that share it, and one that changes it under a child of another's.
    await holders[0]?.query('SELECT FROM items WHERE id = 300 FOR SHARE')
    await holders[1]?.query('SELECT FROM items WHERE id = 300 FOR SHARE')
    await holders[0]?.query('INSERT INTO children VALUES (4000)')
    await holders[2]?.query('UPDATE items SET label = NULL WHERE id = 4000')
    const id = await client.start(job)
    await until(
      'all other rows to be done',
      () => countDone(database),
      (done) => done === 4998,
    )
    const ranges = await client.ranges(id)
    expect(ranges.filter(({ phase, done }) => phase === 'keys' && !done)).toEqual([])
    for (const holder of holders) await holder.query('COMMIT')
    await client.reaches(id, ['succeeded'])
    await expectTouchedOnce(database, 5000)
  })

  test('held rows that are deleted, or no longer match when they are free, are struck off as gone', async () => {
    const database = await createDatabase()
    const client = await startInProcess(database, await createItems(database, rows))
    const other = await database.session()
    await other.query('BEGIN')
    await other.query('DELETE FROM items WHERE id <= 10')
    await other.query("UPDATE items SET label = 'by hand' WHERE id BETWEEN 11 AND 30")
    const id = await client.start('touch')
    await until(
      'the run to wait for them',
      () => client.run(id),
      (run) => run.progress.stragglers === 30 && run.reason !== null,
    )
    await other.query('COMMIT')
    const run = await client.reaches(id, ['succeeded'])
    expect(run.proof).toMatchObject({ rowsDone: rows - 30, rowsGone: 30, residual: 0 })
    expect(await database.query('SELECT touched, count(*)::int FROM items GROUP BY touched ORDER BY touched')).toEqual([
      { touched: 0, count: 20 },
      { touched: 1, count: rows - 30 },
    ])
  })

  test('a change by others that is rolled back leaves the row for us', async () => {
    const database = await createDatabase()
    const client = await startInProcess(database, await createItems(database, rows))
    const other = await database.session()
    await other.query('BEGIN')
    await other.query("UPDATE items SET label = 'never' WHERE id <= 50")
    const id = await client.start('touch')
    await until(
      'the run to wait for them',
      () => client.run(id),
      (run) => run.reason !== null,
    )
    await other.query('ROLLBACK')
    await client.reaches(id, ['succeeded'])
    await expectTouchedOnce(database, rows)
  })

  test('a run that waits for a held row can be paused, resumed and cancelled', async () => {
    const database = await createDatabase()
    const client = await startInProcess(database, await createItems(database, rows))
    const other = await database.session()
    await other.query('BEGIN')
    await other.query('SELECT FROM items WHERE id = 7 FOR UPDATE')
    const id = await client.start('touch')
    await until(
      'the run to wait for it',
      () => client.run(id),
      (run) => run.reason !== null,
    )
    expect((await client.call('POST', `/runs/${id}/pause`)).body.status).toBe('paused')
    await client.call('POST', `/runs/${id}/resume`)
    await until(
      'the run to wait for it again',
      () => client.run(id),
      (run) => run.status === 'running' && run.reason !== null,
    )
    expect((await client.call('POST', `/runs/${id}/cancel`)).body.status).toBe('cancelled')
    await other.query('COMMIT')
    expect(await countDone(database)).toBe(rows - 1)
  })
})
