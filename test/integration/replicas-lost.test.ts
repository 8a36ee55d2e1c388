import { expect, onTestFinished, test } from 'vitest'
import { startStandby } from '../../src/embedded/index.ts'
import { expectTouchedOnce } from '../support/items.ts'
import { createScene, done, heldBy, moving, rows, usePair } from '../support/pair.ts'
import { until } from '../support/until.ts'

const pair = usePair()

test('a standby that is killed counts as one that stands still, and then as missing', async () => {
  const here = await createScene(pair)
  const { database, client } = here
  const id = await here.start()
  await moving(database, 2000)
  await pair.standby.kill()
  onTestFinished(() => pair.standby.restart())
  await until('its row to vanish', () => database.value<boolean>('SELECT NOT EXISTS (SELECT FROM pg_stat_replication)'))
  await heldBy(here, id, ['replica-lag'])
  const then = await done(database)
  const { run } = await heldBy(here, id, ['replicas-missing'])
  expect(run.throttle?.reason).toContain('one')
  expect((await done(database)) - then).toBeLessThanOrEqual(200)

  const refused = await client.call<{ detail: string }>('POST', '/runs', { job: 'touch' })
  expect(refused.status).toBe(409)
  expect(refused.body.detail).toMatch(/Standby one .*stream/)

  await pair.standby.restart()
  await client.reaches(id, ['succeeded'])
  await expectTouchedOnce(database, rows)
})

test('a standby that a run relies on stays expected, whatever else is started, until the run is ended', async () => {
  const here = await createScene(pair)
  const { database, client } = here
  const known = () => database.query('SELECT name, count FROM evenkeel.standbys ORDER BY name')
  const refusal = async () => {
    const { status, body } = await client.call<{ detail: string }>('POST', '/runs', { job: 'touch' })
    return `${status} ${body.detail}`
  }
  const id = await here.start()
  await moving(database, 2000)
  await pair.standby.kill()
  onTestFinished(() => pair.standby.restart())
  expect((await client.call('POST', `/runs/${id}/pause`)).body.status).toBe('paused')
  expect(await refusal()).toMatch(
    new RegExp(`^409 .*Standby one should be streaming.*end the runs that rely on it \\(${id}\\)`),
  )
  expect(await known()).toEqual([{ name: 'one', count: 1 }])
  await client.call('POST', `/runs/${id}/resume`)
  await heldBy(here, id, ['replica-lag', 'replicas-missing'])
  const then = await done(database)
  await heldBy(here, id, ['replicas-missing'])
  expect((await done(database)) - then).toBeLessThanOrEqual(200)

  await client.call('POST', `/runs/${id}/cancel`)
  expect(await refusal()).toMatch(/^409 .*No standby streams/)
  expect(await known()).toEqual([{ name: 'one', count: 1 }])
})

test('a standby that a failed run may be retried with stays expected until that run is cancelled', async () => {
  const { database, client } = await createScene(pair)
  const known = () => database.query('SELECT name, count FROM evenkeel.standbys ORDER BY name')
  const failed = await client.start('touch')
  await until('the standby to be known', async () => (await known()).length === 1)
  await client.call('POST', `/runs/${failed}/pause`)
  await database.query("UPDATE evenkeel.runs SET status = 'failed', ended_at = now() WHERE id = $1", [failed])
  const other = await startStandby(pair.primary, { name: 'two' })
  onTestFinished(() => other.stop())
  await pair.standby.kill()
  onTestFinished(() => pair.standby.restart())
  await until('its row to vanish', () =>
    database.value<boolean>("SELECT count(*) = 1 FROM pg_stat_replication WHERE application_name IN ('one', 'two')"),
  )
  const refused = await client.call<{ detail: string }>('POST', '/runs', { job: 'count' })
  expect([refused.status, refused.body.detail]).toEqual([409, expect.stringContaining(`(${failed})`)])
  await client.call('POST', `/runs/${failed}/cancel`)
  await client.start('count', { options: { maxRowsPerSecond: 100 } })
  expect(await known()).toEqual([{ name: 'two', count: 1 }])
})
