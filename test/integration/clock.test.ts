import { expect, test } from 'vitest'
import { overridesInForce } from '../../src/core/throttle/hold.ts'
import { refuseClockAhead } from '../../src/runs/retention.ts'
import { createDatabase, type TestDatabase } from '../support/database.ts'
import { createItems, expectTouchedOnce, untilDone } from '../support/items.ts'
import { type Client, startInProcess, unpaced } from '../support/service.ts'
import { until } from '../support/until.ts'

/** What a clock leaves behind that goes back by three hours: every time that was written lies so far ahead. */
async function setClockBack(database: TestDatabase): Promise<void> {
  const ahead = "interval '3 hours'"
  await database.query(
    `UPDATE evenkeel.ranges SET checkpointed_at = checkpointed_at + ${ahead}, wake_at = wake_at + ${ahead},
       lease_until = lease_until + ${ahead}, ticketed_at = ticketed_at + ${ahead}`,
  )
  await database.query(`UPDATE evenkeel.events SET at = at + ${ahead}`)
  await database.query(`UPDATE evenkeel.stragglers SET since = since + ${ahead}, retry_at = retry_at + ${ahead}`)
  await database.query(`UPDATE evenkeel.pace SET stepped_at = stepped_at + ${ahead}`)
  await database.query(
    `UPDATE evenkeel.runs SET created_at = created_at + ${ahead}, started_at = started_at + ${ahead}, ended_at = ended_at + ${ahead},
       hold = CASE WHEN hold IS NOT NULL THEN hold || jsonb_build_object('seenAt', (hold->>'seenAt')::timestamptz + ${ahead},
         'since', (hold->>'since')::timestamptz + ${ahead}) END`,
  )
}

const gate = (database: TestDatabase, job: string) => database.query('SELECT evenkeel.require_succeeded($1)', [job])
const ids = async (client: Client) => (await client.call<{ runs: Array<{ id: string }> }>('GET', '/runs')).body.runs

test('ranges of workers that are gone are taken over at once, though their leases end hours ahead', async () => {
  const database = await createDatabase()
  const jobs = await createItems(database, 500)
  const api = await startInProcess(database, jobs, { ROLE: 'api' })
  const id = await api.start('count')
  // As a worker left it that died after the first checkpoints: leases, tickets and waits.
  await database.query(
    `UPDATE evenkeel.ranges SET lease_owner = CASE WHEN ordinal = 0 THEN 'gone' END,
       lease_until = CASE WHEN ordinal = 0 THEN clock_timestamp() + interval '5 seconds' END,
       ticket = CASE WHEN ordinal > 0 THEN 'lost' END, ticketed_at = clock_timestamp(),
       wake_at = clock_timestamp() + interval '2 seconds', wait_seconds = 2, checkpointed_at = clock_timestamp()`,
  )
  await setClockBack(database)
  await startInProcess(database, jobs, { ROLE: 'worker' })
  await api.reaches(id, ['succeeded'], 30)
  await expectTouchedOnce(database, 500)
})

test('a run whose last signs lie hours ahead has stalled, until it gives one', async () => {
  const database = await createDatabase()
  const jobs = await createItems(database, 100)
  const client = await startInProcess(database, jobs, { ROLE: 'api' })
  const id = await client.start('count')
  expect((await client.run(id)).stalled).toBeNull()
  await setClockBack(database)
  expect((await client.run(id)).stalled).not.toBeNull()
  await client.call('PATCH', `/runs/${id}`, { parallelism: 1 })
  expect((await client.run(id)).stalled).toBeNull()
})

test('the pace is stepped, and a hold that nobody keeps up is ended, though both were written hours ahead', async () => {
  const database = await createDatabase()
  const jobs = await createItems(database, 100_000, { paced: true })
  const client = await startInProcess(database, jobs)
  const id = await client.start('count', {
    options: { maxRowsPerSecond: 500, batchSize: 20, signals: unpaced.signals },
  })
  await untilDone(database, 20)
  await database.query(
    `UPDATE evenkeel.runs SET hold = jsonb_build_object('reason', 'a test', 'signal', 'replica-lag', 'value', 1, 'limit', 1, 'by', 'gone',
       'since', clock_timestamp(), 'seenAt', clock_timestamp())`,
  )
  await setClockBack(database)
  const before = await database.value<number>('SELECT sum(touched)::int FROM items')
  await untilDone(database, before + 20)
  await until('the pace to be stepped by the new clock', () =>
    database.value<boolean>('SELECT stepped_at <= clock_timestamp() FROM evenkeel.pace'),
  )
  expect((await client.run(id)).throttle?.signal).not.toBe('replica-lag')
})

test('rows that others held are come back to, though that is due hours ahead', async () => {
  const database = await createDatabase()
  const client = await startInProcess(database, await createItems(database, 50))
  const holder = await database.session()
  await holder.query('BEGIN; SELECT FROM items WHERE id IN (3, 7) FOR UPDATE')
  const id = await client.start('count')
  await until(
    'the rows to be held',
    () => client.run(id),
    ({ progress }) => progress.stragglers === 2,
  )
  await setClockBack(database)
  await holder.query('COMMIT')
  await client.reaches(id, ['succeeded'], 30)
  await expectTouchedOnce(database, 50)
})

test('the later run is the one with the higher number: for the gate, and in the list', async () => {
  const database = await createDatabase()
  const jobs = await createItems(database, 50)
  const working = await startInProcess(database, jobs)
  const first = await working.start('touch')
  await working.reaches(first, ['succeeded'])
  await working.service.close()
  await setClockBack(database)
  const client = await startInProcess(database, jobs, { ROLE: 'api' })
  const second = await client.start('touch')
  await expect(gate(database, 'touch')).rejects.toThrow(second)
  expect((await ids(client)).map(({ id }) => id)).toEqual([second, first])
  const page = await client.call<{ runs: Array<{ id: string }> }>('GET', `/runs?limit=1&before=${second}`)
  expect(page.body.runs.map(({ id }) => id)).toEqual([first])
})

test('an override that begins ahead is none, and retention waits where the database is ahead of this machine', () => {
  const now = new Date('2026-03-01T10:00:00Z')
  const at = (hours: number) => new Date(now.getTime() + hours * 3_600_000).toISOString()
  const override = { signal: 'replica-lag', reason: 'r', by: 'ops' } as const
  expect(overridesInForce([{ ...override, since: at(2), until: at(3) }], now)).toEqual([])
  expect(overridesInForce([{ ...override, since: at(-1), until: at(3) }], now)).toHaveLength(1)
  expect(() => refuseClockAhead(new Date(at(2400)), now)).toThrow('nothing is deleted')
  expect(() => refuseClockAhead(new Date(at(-2400)), now)).not.toThrow()
})
