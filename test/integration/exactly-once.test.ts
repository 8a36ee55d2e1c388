import { describe, expect, test } from 'vitest'
import { createDatabase } from '../support/database.ts'
import { Gate } from '../support/gate.ts'
import { createItems, expectTouchedOnce, untilDone } from '../support/items.ts'
import { queueKind, spawnService, startInProcess } from '../support/service.ts'
import { inTurn } from '../support/tier.ts'

/** Both on the queue and the release that all else is tested on, one of them on others. */
const kinds = inTurn(['touch', 'count'], queueKind === 'postgres' && !process.env.TEST_POSTGRES ? 2 : 1)

describe('promise 1: exactly once', () => {
  test('a run does every row once and proves it', async () => {
    const database = await createDatabase()
    const client = await startInProcess(database, await createItems(database, 20_000))
    const run = await client.reaches(await client.start('touch'), ['succeeded'])
    expect(run.proof).toEqual({
      rowsDone: 20_000,
      rowsScanned: 20_000,
      rowsGone: 0,
      rowsChecked: 20_000,
      quarantined: 0,
      discarded: 0,
      residual: 0,
    })
    expect(run.progress).toMatchObject({ rowsDone: 20_000, rowsTotal: 20_000, ratio: 1, stragglers: 0 })
    await expectTouchedOnce(database, 20_000)
  })

  test('a job without a predicate counts its windows against the table', async () => {
    const database = await createDatabase()
    const client = await startInProcess(database, await createItems(database, 20_000))
    const run = await client.reaches(await client.start('count'), ['succeeded'])
    expect(run.proof).toEqual({
      rowsDone: 20_000,
      rowsScanned: 20_000,
      rowsGone: 0,
      rowsChecked: 20_000,
      quarantined: 0,
      discarded: 0,
      residual: null,
    })
    await expectTouchedOnce(database, 20_000)
  })

  test('a count that does not add up is no success', async () => {
    const database = await createDatabase()
    const gate = new Gate(5)
    const client = await startInProcess(database, await createItems(database, 3000), {}, gate)
    const id = await client.start('count', { options: { batchSize: 100 } })
    await gate.untilShut()
    await database.query('UPDATE evenkeel.ranges SET rows_done = rows_done - 7 WHERE run_id = $1 AND ordinal = 0', [id])
    gate.open()
    const run = await client.reaches(id, ['failed'])
    expect(run.reason).toContain(
      'The counts do not add up: windows passed 3000 rows, and 2993 of them are accounted for (2993 done, 0 gone, 0 in quarantine).',
    )
  })

  test('an empty table succeeds at once', async () => {
    const database = await createDatabase()
    const client = await startInProcess(database, await createItems(database, 0))
    const run = await client.reaches(await client.start('touch'), ['succeeded'])
    expect(run.progress).toMatchObject({ rowsDone: 0, rowsTotal: 0, ratio: 1 })
  })

  test.for(kinds)('workers killed with SIGKILL in the middle of %s: no row twice, none left out', async (job) => {
    const rows = 15_000
    const database = await createDatabase()
    const jobs = await createItems(database, rows)
    const client = await startInProcess(database, jobs, { ROLE: 'api' })
    const id = await client.start(job, { options: { maxRowsPerSecond: 4000 } })
    for (const share of [0.1, 0.3, 0.5]) {
      const worker = await spawnService(database, jobs, { ROLE: 'worker' })
      await untilDone(database, rows * share)
      await worker.kill()
    }
    await startInProcess(database, jobs, { ROLE: 'worker' })
    await client.call('PATCH', `/runs/${id}`, { maxRowsPerSecond: null })
    await client.reaches(id, ['succeeded'])
    await expectTouchedOnce(database, rows)
    const events = await client.events(id)
    expect(events.filter((event) => event.kind === 'rescued').length).toBeGreaterThanOrEqual(3)
  })

  test.for(kinds)('connections lost while batches of %s commit: the outcome is read, not guessed', async (job) => {
    const rows = 30_000
    const database = await createDatabase()
    const jobs = await createItems(database, rows)
    const client = await startInProcess(database, jobs)
    const id = await client.start(job, { options: { batchSize: 50, parallelism: 4 } })
    let lost = 0
    for (let share = 0.05; share < 0.8; share += 0.05) {
      await untilDone(database, rows * share)
      // At whatever they are: in a batch, in its commit, or between two of them.
      const killed = await database.query(
        `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
           WHERE datname = current_database() AND application_name = 'evenkeel engine'`,
      )
      lost += killed.length
    }
    expect(lost).toBeGreaterThanOrEqual(15)
    await client.reaches(id, ['succeeded'])
    await expectTouchedOnce(database, rows)
  })
})
