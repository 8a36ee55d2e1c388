import { describe, expect, test } from 'vitest'
import { createDatabase, type TestDatabase } from '../support/database.ts'
import { createItems } from '../support/items.ts'
import { type Client, startInProcess, startOnDatabases } from '../support/service.ts'
import { until } from '../support/until.ts'

const api = { ROLE: 'api', RETENTION_DAYS: '30' }

/** Makes all that has happened to a run so many days older. */
async function age(database: TestDatabase, id: string, days: number): Promise<void> {
  const ago = `make_interval(days => ${days})`
  await database.query(
    `UPDATE evenkeel.runs SET created_at = created_at - ${ago}, ended_at = ended_at - ${ago} WHERE id = $1`,
    [id],
  )
}

async function succeeded(client: Client, job: string, rest = {}): Promise<string> {
  const id = await client.start(job, rest)
  await client.reaches(id, ['succeeded'])
  return id
}

async function cancelled(client: Client, job: string): Promise<string> {
  const id = await client.start(job)
  await client.call('POST', `/runs/${id}/cancel`)
  return (await client.reaches(id, ['cancelled'])).id
}

async function kept(database: TestDatabase): Promise<string[]> {
  const rows = await database.query<{ id: string }>('SELECT id FROM evenkeel.runs ORDER BY id')
  return rows.map(({ id }) => id)
}

const untilKept = (database: TestDatabase, ids: readonly string[]) =>
  until(
    `${ids.join(', ')} to be what is kept`,
    () => kept(database),
    (now) => String(now) === String([...ids].sort()),
  )

describe('runs that ended longer ago than RETENTION_DAYS', () => {
  test('go with all they had; live ones stay, and the last and the last succeeded one of each job', async () => {
    const database = await createDatabase()
    const jobs = await createItems(database, 10)
    const working = await startInProcess(database, jobs)
    const old = await succeeded(working, 'touch')
    const lastSucceeded = await succeeded(working, 'touch')
    await working.service.close()
    const asking = await startInProcess(database, jobs, { ROLE: 'api' })
    const between = await cancelled(asking, 'touch')
    const last = await cancelled(asking, 'touch')
    const alone = await cancelled(asking, 'count')
    const young = await cancelled(asking, 'count')
    const live = await asking.start('count')
    await asking.service.close()
    const ages = [old, lastSucceeded, between, last, alone, live]
    for (const [index, id] of ages.entries()) await age(database, id, 40 - index)
    await age(database, young, 29)
    // Of the job's runs the newest: the live one, and the young one before it.
    await database.query('UPDATE evenkeel.runs SET created_at = clock_timestamp() WHERE id = $1', [live])

    await Promise.all(Array.from({ length: 3 }, () => startInProcess(database, jobs, api)))
    await untilKept(database, [lastSucceeded, last, young, live])
    for (const table of ['ranges', 'events', 'stragglers']) {
      const runs = await database.query<{ id: string }>(`SELECT DISTINCT run_id AS id FROM evenkeel.${table}`)
      for (const { id } of runs) expect([lastSucceeded, last, young, live], table).toContain(id)
    }
    await expect(database.query("SELECT evenkeel.require_succeeded('touch')")).rejects.toThrow(`${last} is cancelled`)
  })

  test('are not those that somebody has put back to work', async () => {
    const database = await createDatabase()
    const jobs = await createItems(database, 10)
    const before = await startInProcess(database, jobs, { ROLE: 'api' })
    const failed = await before.start('touch')
    await database.query("UPDATE evenkeel.runs SET status = 'failed', ended_at = clock_timestamp()")
    const later = await cancelled(before, 'touch')
    await age(database, failed, 100)
    expect((await before.call('POST', `/runs/${failed}/retry`)).status).toBe(200)
    await before.service.close()
    const other = await createDatabase()
    await startOnDatabases({ one: database, two: other }, await createItems(other, 1), api)
    // Whoever has thinned out the events has been over the runs.
    await database.query(
      "INSERT INTO evenkeel.events (run_id, actor, kind) SELECT $1, 'test', 'held' FROM generate_series(1, 11001)",
      [later],
    )
    await startInProcess(database, jobs, api)
    await until('the runs to have been looked at', () =>
      database.value<boolean>("SELECT EXISTS (SELECT FROM evenkeel.events WHERE kind = 'events-dropped')"),
    )
    expect(await kept(database)).toEqual([failed, later].sort())
  })

  test('go in all of their databases or in none, also where one was cut short', async () => {
    const [eu, us] = [await createDatabase(), await createDatabase()]
    await createItems(us, 10)
    const jobs = await createItems(eu, 10)
    const client = await startOnDatabases({ eu, us }, jobs)
    const [whole, young, half, last] = [
      await succeeded(client, 'touch'),
      await succeeded(client, 'touch'),
      await succeeded(client, 'touch'),
      await succeeded(client, 'touch'),
    ]
    await client.service.close()
    for (const id of [whole, young, half]) await age(eu, id, 40)
    // One process deleted the first part of it, and died.
    await us.query('DELETE FROM evenkeel.runs WHERE id = $1', [half])
    await age(us, whole, 40)

    // One that sees the one database only knows nothing of the other.
    const alone = await startInProcess(eu, jobs, api)
    expect((await alone.run(whole)).status).toBe('succeeded')
    await alone.service.close()
    expect(await kept(eu)).toEqual([whole, young, half, last].sort())

    await startOnDatabases({ eu, us }, jobs, api)
    await untilKept(eu, [young, last])
    await untilKept(us, [young, last])
  })
})

test('of the events of one run the first and the newest are kept, and it is said how many are not', async () => {
  const database = await createDatabase()
  const jobs = await createItems(database, 10)
  const client = await startInProcess(database, jobs, { ROLE: 'api' })
  const id = await client.start('touch')
  const add = (events: number) =>
    database.query(
      `INSERT INTO evenkeel.events (run_id, actor, kind, detail)
       SELECT $1, 'test', 'held', jsonb_build_object('n', n) FROM generate_series(1, $2::int) AS n`,
      [id, events],
    )
  const count = () => database.value<number>('SELECT count(*)::int FROM evenkeel.events')
  const dropped = async () =>
    (
      await database.query<{ detail: { count: number } }>(
        "SELECT detail FROM evenkeel.events WHERE kind = 'events-dropped'",
      )
    ).map(({ detail }) => detail.count)
  const tidy = async () => {
    const services = await Promise.all([startInProcess(database, jobs, api), startInProcess(database, jobs, api)])
    await Promise.all(services.map(({ service }) => service.close()))
  }
  await add(10_998)
  await tidy()
  expect([await count(), await dropped()]).toEqual([10_999, []])

  await add(10_001)
  await until('events to be dropped', async () => {
    await tidy()
    return (await dropped()).length > 0
  })
  // The run's first event, those of the test, and the one that says so.
  expect([await count(), await dropped()]).toEqual([10_001, [11_000]])
  const ns = await database.query<{ n: number }>(
    "SELECT (detail->>'n')::int AS n FROM evenkeel.events WHERE kind = 'held' ORDER BY id",
  )
  expect(ns.slice(0, 999).map(({ n }) => n)).toEqual(Array.from({ length: 999 }, (_, index) => index + 1))
  expect(ns.slice(999).map(({ n }) => n)).toEqual(Array.from({ length: 9000 }, (_, index) => index + 1002))
  expect(await database.value('SELECT kind FROM evenkeel.events ORDER BY id LIMIT 1')).toBe('created')

  await add(10_000)
  await until('events to be dropped', async () => {
    await tidy()
    return (await dropped())[0] !== 11_000
  })
  // The event that said so was dropped too, and what it said was not.
  expect([await count(), await dropped()]).toEqual([10_001, [21_000]])
})
