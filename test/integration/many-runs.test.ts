import { defineJob, sql } from 'evenkeel'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { hashParams, type JobDefinition } from '../../src/core/job/job.ts'
import { resolveJob } from '../../src/engine/kinds/resolve.ts'
import { patience } from '../../tools/until.ts'
import { createDatabase, type TestDatabase } from '../support/database.ts'
import { type Client, jobSource, jobsFolder, startInProcess, unpaced } from '../support/service.ts'
import { limits, perCommit } from '../support/tier.ts'
import { until } from '../support/until.ts'

const runs = perCommit(200, { nightly: 1000 })
/** Beside all the other tests. */
const turnSeconds = perCommit(limits.wait, { nightly: 900 })

const job = defineJob({
  name: 'many',
  table: 'many',
  params: z.object({ tenant: z.number() }),
  options: unpaced,
  where: ({ tenant }) => sql`tenant = ${tenant} AND n = 0`,
  set: { n: sql`1` },
})

/** One run a tenant, all of them live, each at half a row a second. */
async function startMany(database: TestDatabase): Promise<Client> {
  await database.query('CREATE TABLE many (id int PRIMARY KEY, tenant int, n int NOT NULL DEFAULT 0)')
  await database.query('INSERT INTO many SELECT n, n % $1::int FROM generate_series(1, 10 * $1::int) n', [runs])
  await database.query('CREATE INDEX ON many (tenant); ANALYZE many')
  const source = jobSource({
    name: 'many',
    table: 'many',
    rest: 'params: z.object({ tenant: z.number() }), where: ({ tenant }) => sql`tenant = ${tenant} AND n = 0`, set: { n: sql`1` }',
  })
  const jobs = await jobsFolder({ 'many.ts': source })
  const starter = await startInProcess(database, jobs, { ROLE: 'api' })
  const options = { maxRowsPerSecond: 0.5, batchSize: 1 }
  // Started one after the other they would take minutes: what the start of the first has written is written for each instead.
  const first = await starter.start('many', { params: { tenant: 0 }, options })
  const copies = Array.from({ length: runs - 1 }, (_, index) => {
    const params = { tenant: index + 1 }
    return {
      params,
      fingerprint: resolveJob(job as unknown as JobDefinition, params).fingerprint,
      params_hash: hashParams(params),
    }
  })
  await database.query(
    `INSERT INTO evenkeel.runs SELECT (jsonb_populate_record(r, copy || jsonb_build_object('id', 'many-' || 1000 + n, 'number', 1000 + n))).*
     FROM evenkeel.runs r, jsonb_array_elements($1::jsonb) WITH ORDINALITY AS copies (copy, n)`,
    [JSON.stringify(copies)],
  )
  for (const [table, change] of [
    ['ranges', "jsonb_build_object('run_id', n.id, 'ticket', NULL)"],
    ['rates', "jsonb_build_object('run_id', n.id)"],
  ])
    await database.query(
      `INSERT INTO evenkeel.${table} SELECT (jsonb_populate_record(t, ${change})).*
       FROM evenkeel.${table} t, evenkeel.runs n WHERE n.id <> $1`,
      [first],
    )
  await database.query(
    `INSERT INTO evenkeel.events (run_id, actor, kind) SELECT id, 'test', 'created' FROM evenkeel.runs WHERE id <> $1`,
    [first],
  )
  return startInProcess(database, jobs)
}

const timed = async <T>(act: () => Promise<T>): Promise<[T, number]> => {
  const began = performance.now()
  return [await act(), (performance.now() - began) / 1000]
}

const count = (database: TestDatabase, status: string) =>
  database.value<number>('SELECT count(*)::int FROM evenkeel.runs WHERE status = $1', [status])

const batches = (database: TestDatabase) => database.value<number>('SELECT sum(batches)::int FROM evenkeel.ranges')

test(`with ${runs} live runs, everything is paused and resumed within five seconds, and each run gets its turn`, {
  timeout: patience * (turnSeconds + 100) * 1000,
}, async () => {
  const database = await createDatabase()
  const client = await startMany(database)
  await until(
    'each run to have its turn',
    () => database.value<boolean>('SELECT count(DISTINCT run_id) = $1 FROM evenkeel.ranges WHERE batches > 0', [runs]),
    Boolean,
    turnSeconds,
  )
  type All = { runs: unknown[]; refused: unknown[] }
  const [paused, pauseSeconds] = await timed(() => client.call<All>('POST', '/pause', { reason: 'incident' }))
  expect([paused.status, paused.body.refused]).toEqual([200, []])
  expect(paused.body.runs).toHaveLength(runs)
  expect(pauseSeconds).toBeLessThan(5)
  await until('the last batches to end', async () => (await count(database, 'paused')) === runs)
  const done = await batches(database)
  const [resumed, resumeSeconds] = await timed(() => client.call<All>('POST', '/resume'))
  expect([resumed.status, resumed.body.runs.length]).toEqual([200, runs])
  expect(resumeSeconds).toBeLessThan(5)
  await until('batches to commit', async () => (await batches(database)) > done)

  // A worker that has died beside all that: its range is with another one soon.
  const [lost] = await database.query<{ run: string }>(
    `UPDATE evenkeel.ranges SET lease_owner = 'gone', lease_until = clock_timestamp() - interval '1 second', ticket = NULL, epoch = epoch + 1
     WHERE (run_id, ordinal) = (SELECT run_id, ordinal FROM evenkeel.ranges WHERE phase = 'keys' AND lease_owner IS NULL AND NOT done LIMIT 1)
     RETURNING run_id AS run`,
  )
  const [, seconds] = await timed(() =>
    until('the range to be rescued', () =>
      database.value<boolean>("SELECT EXISTS (SELECT FROM evenkeel.events WHERE run_id = $1 AND kind = 'rescued')", [
        lost?.run,
      ]),
    ),
  )
  expect(seconds).toBeLessThan(5)
  const [one, oneSeconds] = await timed(() => client.call('POST', `/runs/${lost?.run}/pause`))
  expect(['paused', 'pausing']).toContain(one.body.status)
  expect(oneSeconds).toBeLessThan(5)
})
