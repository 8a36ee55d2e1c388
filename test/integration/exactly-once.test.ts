import { expect, test } from 'vitest'
import { createDatabase } from '../support/database.ts'
import { jobSource, jobsFolder, startInProcess } from '../support/service.ts'

test('a run does every row once and proves it', async () => {
  const database = await createDatabase()
  await database.query('CREATE TABLE items (id bigint PRIMARY KEY, label text, touched int NOT NULL DEFAULT 0)')
  await database.query('INSERT INTO items (id) SELECT generate_series(1, 20000)')
  const jobs = await jobsFolder({
    'label.ts': jobSource({
      name: 'label',
      table: 'items',
      rest: "where: sql`label IS NULL`, set: { label: sql`'item ' || id`, touched: sql`touched + 1` }",
    }),
  })
  const client = await startInProcess(database, jobs)
  const id = await client.start('label')
  const run = await client.reaches(id, ['succeeded'])
  expect(run.proof).toEqual({ rowsDone: 20000, rowsScanned: 20000, rowsGone: 0, rowsChecked: 20000, residual: 0 })
  expect(await database.query('SELECT touched, count(*)::int FROM items GROUP BY touched')).toEqual([
    { touched: 1, count: 20000 },
  ])
})
