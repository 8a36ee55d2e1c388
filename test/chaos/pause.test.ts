import { expect, test } from 'vitest'
import { waitSeconds } from '../../src/util/sleep.ts'
import { createDatabase } from '../support/database.ts'
import { createItems, expectTouchedOnce } from '../support/items.ts'
import { jobSource, jobsFolder, startInProcess } from '../support/service.ts'
import { perCommit } from '../support/tier.ts'
import { until } from '../support/until.ts'

/**
 * Watched from outside, by Postgres' own commit timestamps: a row's last change is the transaction that is its xmin, and
 * every row is changed once, so that at the end the table itself tells when each batch committed.
 */
test('promise 3: after a call has returned paused nothing of the run commits, at many random moments', async () => {
  const rows = perCommit(1500, { nightly: 5000 })
  const database = await createDatabase()
  await createItems(database, rows)
  const jobs = await jobsFolder({
    'slow.ts': jobSource({
      name: 'slow',
      table: 'items',
      // A batch of ten takes forty milliseconds: there is one in flight at nearly every moment.
      rest: "where: sql`label IS NULL`, set: { label: sql`'item ' || id || pg_sleep(0.004)::text`, touched: sql`touched + 1` }",
    }),
  })
  const client = await startInProcess(database, jobs)
  const clock = () => database.value<string>('SELECT clock_timestamp()::text')
  const id = await client.start('slow', { options: { batchSize: 10, parallelism: 4 } })
  const never = new AbortController().signal
  const pauses: Array<{ from: string; to: string }> = []
  while (pauses.length < perCommit(10, { nightly: 50 })) {
    await until('a batch to be in flight', () =>
      database.value<boolean>(
        "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep')",
      ),
    )
    await waitSeconds(Math.random() * 0.06, never)
    const { status, body } = await client.call('POST', `/runs/${id}/pause`)
    expect([status, body.status]).toEqual([200, 'paused'])
    const from = await clock()
    // Long enough for a batch in flight to show itself.
    await waitSeconds(0.05, never)
    pauses.push({ from, to: await clock() })
    expect((await client.call('POST', `/runs/${id}/resume`)).status).toBe(200)
  }
  const done = (await client.run(id)).progress.rowsDone
  expect(done).toBeGreaterThan(0)
  expect(done).toBeLessThan(rows)
  await client.reaches(id, ['succeeded'])
  await expectTouchedOnce(database, rows)
  const late = await database.query(
    `SELECT p.from, p.to, count(*)::int AS rows
     FROM jsonb_to_recordset($1::jsonb) AS p ("from" timestamptz, "to" timestamptz)
     JOIN (SELECT pg_xact_commit_timestamp(xmin) AS at FROM items) AS change ON change.at BETWEEN p.from AND p.to
     GROUP BY 1, 2`,
    [JSON.stringify(pauses)],
  )
  expect(late).toEqual([])
})

test('a cancelled run changes nothing more and gives its job free', async () => {
  const database = await createDatabase()
  const client = await startInProcess(database, await createItems(database, 20_000))
  const id = await client.start('touch', { options: { maxRowsPerSecond: 2000 } })
  await client.reaches(id, ['running'])
  const { body } = await client.call('POST', `/runs/${id}/cancel`, { reason: 'wrong table' })
  expect([body.status, body.reason]).toEqual(['cancelled', 'wrong table'])
  const cancelledAt = await database.value<string>('SELECT clock_timestamp()::text')
  const next = await client.start('touch')
  await client.reaches(next, ['succeeded'])
  await expectTouchedOnce(database, 20_000)
  const between = await database.query(
    `SELECT count(*)::int AS rows FROM items WHERE pg_xact_commit_timestamp(xmin)
       BETWEEN $1 AND (SELECT created_at FROM evenkeel.runs WHERE id = $2)`,
    [cancelledAt, next],
  )
  expect(between).toEqual([{ rows: 0 }])
})
