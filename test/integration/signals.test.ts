import pg from 'pg'
import { describe, expect, onTestFinished, test } from 'vitest'
import type { Measured, SignalName } from '../../src/core/signal.ts'
import { type Sampler, type SamplerOptions, startSampler } from '../../src/signals/sampler.ts'
import { probeSettings, signalSettings } from '../../src/signals/session.ts'
import { createPool } from '../../src/store/control.ts'
import { createDatabase, type TestDatabase } from '../support/database.ts'
import { until } from '../support/until.ts'

/** A sampler on a database, with what is not said as on a lone primary. */
async function sample(url: string, options: Partial<SamplerOptions> = {}): Promise<Sampler> {
  const signals = createPool(url, { name: 'evenkeel signals', max: 1, settings: signalSettings })
  const probe = createPool(url, { name: 'evenkeel probe', max: 1, settings: probeSettings })
  const sampler = startSampler({
    signals,
    probe,
    replicas: { kind: 'none' },
    heartbeats: [],
    beat: () => Promise.reject(new Error('nobody reads a heartbeat')),
    standbys: { list: () => Promise.resolve(new Map()), remember: () => Promise.resolve() },
    cores: 2,
    onError: () => undefined,
    ...options,
  })
  onTestFinished(async () => {
    await sampler.close()
    await Promise.all([signals.end(), probe.end()])
  })
  await sampler.ready
  return sampler
}

function reading(sampler: Sampler, signal: SignalName): Measured | undefined {
  return sampler.readings().find((measured) => measured.signal === signal)
}

/** A session under a name, ended with the test. */
async function sessionNamed(database: TestDatabase, name: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: database.url, application_name: name })
  client.on('error', () => undefined)
  await client.connect()
  onTestFinished(() => client.end())
  return client
}

describe('blocked', () => {
  test('counts the looks in which somebody waits for a lock of the engine, and ends with the waiting', async () => {
    const database = await createDatabase()
    await database.query('CREATE TABLE items (id int)')
    const sampler = await sample(database.url)
    expect(reading(sampler, 'blocked')).toMatchObject({ value: 0, detail: 'nobody' })

    const engine = await sessionNamed(database, 'evenkeel engine')
    await engine.query('BEGIN; LOCK TABLE items')
    const user = await sessionNamed(database, 'shop')
    const { pid } = (await user.query('SELECT pg_backend_pid() AS pid')).rows[0]
    const waiting = user.query('SELECT FROM items')
    const blocked = await until(
      'three looks in a row',
      () => reading(sampler, 'blocked'),
      (measured) => (measured?.value ?? 0) >= 3,
    )
    expect(blocked?.detail).toMatch(new RegExp(`^1 session, since \\d+\\.\\d s: pid ${pid} \\(shop\\)$`))

    await engine.query('ROLLBACK')
    await waiting
    await until(
      'nobody to wait',
      () => reading(sampler, 'blocked'),
      (measured) => measured?.value === 0,
    )
  })

  test('is nothing to do with locks that others hold, nor with us waiting', async () => {
    const database = await createDatabase()
    await database.query('CREATE TABLE items (id int)')
    const holder = await sessionNamed(database, 'migration')
    await holder.query('BEGIN; LOCK TABLE items')
    const waiting = [await sessionNamed(database, 'shop'), await sessionNamed(database, 'evenkeel engine')].map((one) =>
      one.query('SELECT FROM items'),
    )
    await until(
      'both to wait',
      () =>
        database.value<number>(
          "SELECT count(*)::int FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()",
        ),
      (count) => count === 2,
    )
    const sampler = await sample(database.url)
    const looked = performance.now()
    const later = await until(
      'another look',
      () => reading(sampler, 'blocked'),
      (measured) => (measured?.at ?? 0) > looked + 500,
    )
    expect(later?.value).toBe(0)
    await holder.query('ROLLBACK')
    await Promise.all(waiting)
  })
})
