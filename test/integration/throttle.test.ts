import { expect, test } from 'vitest'
import { createDatabase } from '../support/database.ts'
import { createItems } from '../support/items.ts'
import { startInProcess } from '../support/service.ts'
import { until } from '../support/until.ts'

test('a run that no worker takes says so, and whether others have the slots', async () => {
  const database = await createDatabase()
  const api = await startInProcess(database, await createItems(database, 100), { ROLE: 'api' })
  const id = await api.start('count')
  expect((await api.run(id)).throttle).toBeNull()
  // It has waited for half a minute.
  await database.query("UPDATE evenkeel.ranges SET ticketed_at = ticketed_at - interval '30 seconds'")
  const { throttle } = await api.run(id)
  expect(throttle).toMatchObject({ signal: 'workers', value: null, limit: null })
  expect(throttle?.reason).toMatch(
    /^No worker has taken this run's tickets since .*Z: start a process with ROLE=worker/,
  )
  const other = await api.start('touch')
  await database.query(
    "UPDATE evenkeel.ranges SET lease_until = clock_timestamp() + interval '50 seconds' WHERE run_id = $1",
    [other],
  )
  expect((await api.run(id)).throttle?.reason).toContain("1 other run has the workers' slots")
  expect((await api.run(other)).throttle).toBeNull()
  const { body: metrics } = await api.call<string>('GET', '/metrics')
  expect(metrics).toContain('backfill_slowed{job_name="count",signal="workers"} 1')
})

test('what slows a run is what was measured just now, and nothing once no process measures', async () => {
  const database = await createDatabase()
  const api = await startInProcess(database, await createItems(database, 100, { paced: true }), { ROLE: 'api' })
  const id = await api.start('count')
  await database.query("UPDATE evenkeel.runs SET status = 'running', working_since = clock_timestamp() WHERE id = $1", [
    id,
  ])
  const steppedAgo = (seconds: number) =>
    database.query(
      `UPDATE evenkeel.pace SET stepped_at = clock_timestamp() - make_interval(secs => $1), state = jsonb_build_object('concurrency', 0.1,
         'targetSeconds', 0.02, 'loweredAt', 0, 'recentWorkers', '[]'::jsonb, 'trail', '{}'::jsonb, 'causeSince', 1780000000,
         'cause', jsonb_build_object('reason', 'probe is slow', 'signal', 'commit-latency', 'value', 2, 'limit', 1.5))`,
      [seconds],
    )
  await steppedAgo(0)
  expect((await api.run(id)).throttle).toEqual({
    reason: 'probe is slow',
    signal: 'commit-latency',
    value: 2,
    limit: 1.5,
    since: new Date(1780000000 * 1000).toISOString(),
  })
  await steppedAgo(20)
  expect((await api.run(id)).throttle).toBeNull()
})

test('a database that takes no writes is what holds a run back, whatever did before', async () => {
  const database = await createDatabase()
  const api = await startInProcess(database, await createItems(database, 100), { ROLE: 'api' })
  const id = await api.start('count', { options: { maxRowsPerSecond: 10 } })
  await database.query(
    "UPDATE evenkeel.rates SET waiting_since = clock_timestamp(), waiting_until = clock_timestamp() + interval '50 seconds'",
  )
  const settle = (readOnly: string) =>
    database.query(`ALTER DATABASE ${database.name} SET default_transaction_read_only = ${readOnly}`)
  await settle('on')
  await database.query(
    `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'evenkeel%'`,
  )
  const told = await until(
    'it to say so',
    () => api.run(id),
    ({ throttle }) => throttle?.signal === 'read-only',
    20,
  )
  expect(told.throttle?.reason).toContain('takes no writes')
})
