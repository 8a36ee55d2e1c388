import { setTimeout as pause } from 'node:timers/promises'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { type EmbeddedPostgres, type StandbyOptions, startStandby } from '../../src/embedded/index.ts'
import { createPool } from '../../src/postgres/pool.ts'
import { checkHeartbeats, checkReplicas, type ReplicaDemand } from '../../src/signals/replicas.ts'
import type { KnownStandbys, SamplerOptions } from '../../src/signals/sampler.ts'
import { type Control, createControl } from '../../src/store/control.ts'
import { countBeat, readBeat } from '../../src/store/heartbeat.ts'
import { migrate } from '../../src/store/schema/migrate.ts'
import { listStandbys, rememberStandbys, replaceStandbys } from '../../src/store/standbys.ts'
import { startPostgres } from '../support/postgres.ts'
import { nextReading, reading, sample, sessionNamed, untilReading } from '../support/sampler.ts'
import { until } from '../support/until.ts'

let primary: EmbeddedPostgres
let admin: pg.Client
let control: Control
let pool: pg.Pool

beforeAll(async () => {
  primary = await startPostgres({ settings: { wal_level: 'logical', autovacuum: 'off', checkpoint_timeout: '1h' } })
  admin = new pg.Client({ connectionString: primary.url, application_name: 'evenkeel test' })
  await admin.connect()
  pool = createPool(primary.url, { name: 'evenkeel control', max: 4, settings: {} })
  control = createControl(pool, 'evenkeel')
  await migrate(control)
})

afterAll(async () => {
  await pool?.end()
  await admin?.end()
  await primary?.stop()
})

/** A standby for one test. The next one begins with nobody remembered. */
async function follow(options: StandbyOptions): Promise<EmbeddedPostgres> {
  const standby = await startStandby(primary, options)
  onTestFinished(async () => {
    await standby.stop()
    await until('the standby to be off the list', async () => {
      const { rows } = await admin.query('SELECT FROM pg_stat_replication WHERE application_name = $1', [options.name])
      return rows.length === 0
    })
    await replaceStandbys(control, new Map())
  })
  return standby
}

const remembered = (): KnownStandbys => ({
  list: () => listStandbys(control),
  remember: (seen) => rememberStandbys(control, seen),
})

const auto = (): Partial<SamplerOptions> => ({ replicas: { kind: 'auto' }, standbys: remembered() })

async function writeWal(bytes: number): Promise<void> {
  await admin.query("SELECT pg_logical_emit_message(false, 'test', repeat('x', $1))", [bytes])
}

async function on(server: EmbeddedPostgres, text: string): Promise<void> {
  const client = new pg.Client({ connectionString: server.url, application_name: 'evenkeel test' })
  await client.connect()
  try {
    await client.query(text)
  } finally {
    await client.end()
  }
}

function check(demand: Partial<ReplicaDemand>): Promise<string[]> {
  return checkReplicas(pool, {
    policy: { kind: 'auto' },
    known: new Map(),
    maxLagSeconds: 5,
    heartbeats: false,
    ...demand,
  })
}

describe('a standby', () => {
  test('lags while its replay is paused, by the clock and by what is written, and not once it has caught up', async () => {
    const standby = await follow({ name: 's1' })
    const sampler = await sample(primary.url, auto())
    expect(await untilReading(sampler, 'replica-lag', ({ value }) => value !== null)).toMatchObject({
      detail: 'standby s1',
    })
    expect(reading(sampler, 'replicas-missing')).toMatchObject({ value: 0, detail: '1 standby' })

    await on(standby, 'SELECT pg_wal_replay_pause()')
    await writeWal(5_000_000)
    const began = await untilReading(sampler, 'replica-bytes', ({ value }) => (value ?? 0) >= 5_000_000)
    expect(began.detail).toBe('standby s1')
    expect(began.value).toBeLessThan(6_000_000)
    const first = await untilReading(sampler, 'replica-lag', ({ value }) => (value ?? 0) > 1)
    const later = await untilReading(sampler, 'replica-lag', ({ value }) => (value ?? 0) > 4)
    expect((later.value ?? 0) - (first.value ?? 0)).toBeCloseTo((later.at - first.at) / 1000, 0)
    // It still streams.
    expect(reading(sampler, 'replicas-missing')).toMatchObject({ value: 0 })
    expect(await check({ maxLagSeconds: 600 })).toEqual([])
    expect(await check({ maxLagSeconds: 1 })).toEqual([
      expect.stringMatching(/^Standby s1 is [\d.]+ s behind already, and the limit is 1 s\./),
    ])
    expect(await check({ maxLagSeconds: 600, maxBytes: 1_000_000 })).toEqual([
      expect.stringMatching(/^Standby s1 is [\d.]+ MiB behind already, .* if it is delayed on purpose, list/),
    ])

    await on(standby, 'SELECT pg_wal_replay_resume()')
    await untilReading(sampler, 'replica-lag', ({ value }) => value !== null && value < 1)
    await untilReading(sampler, 'replica-bytes', ({ value }) => value !== null && value < 10_000)
  })

  test('does not lag on an idle primary, nor at the first write after a while', async () => {
    await follow({ name: 's1' })
    // The probe writes; one that reaches no server leaves the primary to itself.
    const nowhere = createPool('postgres://127.0.0.1:1/none', { name: 'evenkeel probe', max: 1, settings: {} })
    onTestFinished(() => nowhere.end())
    const sampler = await sample(primary.url, { ...auto(), probe: nowhere })
    const position = async () => (await admin.query('SELECT pg_current_wal_lsn()::text AS lsn')).rows[0].lsn as string
    await until('the standby to be remembered', async () => (await listStandbys(control)).has('s1'))
    await untilReading(sampler, 'replica-bytes', ({ value }) => value === 0)
    const maxWithin = async (seconds: number) => {
      const began = performance.now()
      let most = 0
      await until('some time', () => {
        most = Math.max(most, reading(sampler, 'replica-lag')?.value ?? Number.NaN)
        return performance.now() - began > seconds * 1000
      })
      return most
    }
    // Postgres itself writes a little now and then.
    const most = await until(
      'four seconds without any WAL',
      async () => {
        const before = await position()
        const most = await maxWithin(4)
        return (await position()) === before ? most : null
      },
      (most) => most !== null,
    )
    expect(most).toBe(0)
    await writeWal(1000)
    expect(await maxWithin(2)).toBeLessThan(1)
  })

  test('that is killed is missing and falls behind further and further, until it is back', async () => {
    const standby = await follow({ name: 's1' })
    const sampler = await sample(primary.url, auto())
    await untilReading(sampler, 'replicas-missing', ({ value }) => value === 0)
    await until('it to be remembered', async () => (await listStandbys(control)).get('s1') === 1)
    await standby.kill()
    const missing = await untilReading(sampler, 'replicas-missing', ({ value }) => (value ?? 0) > 0)
    expect(missing.detail).toBe('standby s1')
    await writeWal(3_000_000)
    const lost = await untilReading(sampler, 'replica-lag', ({ value }) => (value ?? 0) > 2)
    expect(lost.detail).toBe('standby s1, which has stopped streaming')
    await untilReading(sampler, 'replica-bytes', ({ value }) => (value ?? 0) >= 3_000_000)
    const gone = await untilReading(sampler, 'replicas-missing', ({ value }) => (value ?? 0) > 3)
    const later = await nextReading(sampler, 'replicas-missing')
    expect((later.value ?? 0) - (gone.value ?? 0)).toBeCloseTo((later.at - gone.at) / 1000, 1)

    // A process that begins now has never seen it, and knows of it all the same.
    const late = { ...remembered(), list: () => pause(500).then(() => listStandbys(control)) }
    const other = await sample(primary.url, { ...auto(), standbys: late })
    const unseen = reading(other, 'replica-lag')
    expect(unseen).toMatchObject({ value: null, worst: null })
    expect(unseen?.detail).toMatch(/^standby s1 has not been seen streaming: start it/)
    await untilReading(other, 'replicas-missing', ({ value }) => (value ?? 0) > 0)
    expect(await check({ known: await listStandbys(control) })).toEqual([
      expect.stringMatching(/^Standby s1 should be streaming from this primary and is not\. Start it, or/),
    ])

    await standby.restart()
    for (const one of [sampler, other]) {
      await untilReading(one, 'replicas-missing', ({ value }) => value === 0)
      await untilReading(one, 'replica-lag', ({ value }) => value !== null && value < 1)
    }
  })

  test('that is forgotten is no longer missed', async () => {
    const standby = await follow({ name: 's1' })
    const sampler = await sample(primary.url, auto())
    await until('it to be remembered', async () => (await listStandbys(control)).get('s1') === 1)
    await standby.stop()
    await untilReading(sampler, 'replicas-missing', ({ value }) => (value ?? 0) > 0)
    await replaceStandbys(control, new Map())
    await until('nothing to be expected', () =>
      sampler.readings().every(({ signal }) => signal !== 'replicas-missing' && signal !== 'replica-lag'),
    )
    expect(await check({ known: await listStandbys(control) })).toEqual([
      expect.stringMatching(/^No standby streams from this primary\./),
    ])
  })

  test('among several by one name is missed by their number', async () => {
    const first = await follow({ name: 'walreceiver' })
    await follow({ name: 'walreceiver' })
    const sampler = await sample(primary.url, auto())
    await untilReading(sampler, 'replicas-missing', ({ value, detail }) => value === 0 && detail === '2 standbys')
    await until('both to be remembered', async () => (await listStandbys(control)).get('walreceiver') === 2)
    await first.kill()
    const missing = await untilReading(sampler, 'replicas-missing', ({ value }) => (value ?? 0) > 0)
    expect(missing.detail).toBe('1 of the 2 standbys walreceiver')
    await writeWal(1000)
    await untilReading(sampler, 'replica-lag', ({ value }) => (value ?? 0) > 2)
  })

  test('that is delayed on purpose does not count beside those that are named', async () => {
    await follow({ name: 's1' })
    await follow({ name: 'delayed', settings: { recovery_min_apply_delay: '1h' } })
    // A commit is what is delayed, and what comes after it.
    await admin.query('CREATE TABLE delayed_by ()')
    await admin.query('DROP TABLE delayed_by')
    await writeWal(2_000_000)
    const named = await sample(primary.url, { ...auto(), replicas: { kind: 'named', names: ['s1'] } })
    const all = await sample(primary.url, auto())
    await untilReading(
      all,
      'replica-bytes',
      ({ value, detail }) => (value ?? 0) >= 2_000_000 && detail === 'standby delayed',
    )
    const undelayed = await untilReading(named, 'replica-bytes', ({ value }) => value !== null && value < 100_000)
    expect(undelayed.detail).toBe('standby s1')
    expect((await nextReading(named, 'replica-lag')).value).toBeLessThan(1)
    expect(reading(named, 'replicas-missing')).toMatchObject({ value: 0, detail: '1 standby' })
    expect(await check({ policy: { kind: 'named', names: ['s1'] }, maxBytes: 1_000_000 })).toEqual([])
    expect(await check({ maxBytes: 1_000_000 })).toEqual([expect.stringContaining('Standby delayed is')])
    expect(await check({ policy: { kind: 'named', names: ['s1', 's2'] } })).toEqual([
      expect.stringMatching(/^Standby s2 should be streaming .* correct REPLICAS\.$/),
    ])
  })
})

describe('no standby', () => {
  async function expectNone(): Promise<void> {
    const sampler = await sample(primary.url, auto())
    for (const signal of ['replica-lag', 'replica-bytes', 'replicas-missing'] as const) {
      expect(reading(sampler, signal)).toBeUndefined()
    }
    await nextReading(sampler, 'blocked')
    expect(reading(sampler, 'replicas-missing')).toBeUndefined()
    expect(await listStandbys(control)).toEqual(new Map())
    expect(await check({})).toEqual([expect.stringMatching(/^No standby streams/)])
    expect(await check({ heartbeats: true })).toEqual([])
  }

  test('is a subscriber, though it says what it has replayed: that is for slots to tell', async () => {
    await admin.query('CREATE TABLE streamed (id int)')
    await admin.query('CREATE PUBLICATION streamed FOR TABLE streamed')
    await admin.query("SELECT pg_create_logical_replication_slot('subscriber', 'pgoutput')")
    await admin.query('CREATE DATABASE elsewhere')
    const elsewhere = new URL(primary.url)
    elsewhere.pathname = '/elsewhere'
    const there = await sessionNamed(elsewhere.href, 'evenkeel test')
    await there.query('CREATE TABLE streamed (id int)')
    await there.query(
      `CREATE SUBSCRIPTION subscriber CONNECTION '${primary.url}' PUBLICATION streamed
       WITH (create_slot = false, slot_name = 'subscriber', copy_data = false)`,
    )
    try {
      await until('it to have replayed', async () => {
        const { rows } = await admin.query(
          "SELECT FROM pg_stat_replication WHERE state = 'streaming' AND replay_lsn IS NOT NULL",
        )
        return rows.length === 1
      })
      await expectNone()
      const sampler = await sample(primary.url, auto())
      await untilReading(sampler, 'slots', ({ detail }) => detail === 'slot subscriber')
    } finally {
      await there.query('ALTER SUBSCRIPTION subscriber DISABLE')
      await there.query('ALTER SUBSCRIPTION subscriber SET (slot_name = NONE)')
      await there.query('DROP SUBSCRIPTION subscriber')
      await there.end()
      await admin.query('DROP PUBLICATION streamed')
      await admin.query('DROP TABLE streamed')
      await until('the slot to be free', async () => {
        await admin.query("SELECT pg_drop_replication_slot('subscriber')")
        return true
      })
      await admin.query('DROP DATABASE elsewhere WITH (FORCE)')
    }
  })

  test('is one that only receives WAL, as pg_receivewal does', async () => {
    // The driver knows the option; its types do not.
    const options = { connectionString: primary.url, application_name: 'receiver', replication: 'true' }
    const receiver = new pg.Client(options as pg.ClientConfig)
    receiver.on('error', () => undefined)
    await receiver.connect()
    const { rows } = await admin.query('SELECT pg_current_wal_lsn() AS lsn')
    receiver.query(`START_REPLICATION PHYSICAL ${rows[0].lsn}`).catch(() => undefined)
    try {
      await until('it to stream', async () => {
        const { rows } = await admin.query("SELECT FROM pg_stat_replication WHERE state = 'streaming'")
        return rows.length === 1
      })
      await expectNone()
    } finally {
      await admin.query('SELECT pg_terminate_backend(pid) FROM pg_stat_replication')
      await receiver.end().catch(() => undefined)
    }
  })
})

test('a server that is a standby itself tells nothing of replicas, and says so', async () => {
  const standby = await follow({ name: 's1' })
  const sampler = await sample(standby.url, { replicas: { kind: 'auto' } })
  for (const signal of ['replica-lag', 'replica-bytes', 'replicas-missing', 'commit-latency'] as const) {
    const unknown = reading(sampler, signal)
    expect(unknown, signal).toMatchObject({ value: null })
    expect(unknown?.detail, signal).toMatch(/this server is a standby|recovery/)
  }
  const own = createPool(standby.url, { name: 'evenkeel signals', max: 1, settings: {} })
  onTestFinished(() => own.end())
  expect(
    await checkReplicas(own, { policy: { kind: 'auto' }, known: new Map(), maxLagSeconds: 5, heartbeats: false }),
  ).toEqual([expect.stringMatching(/^This server is a standby: point DATABASE_URL to the primary/)])
})

describe('the heartbeat', () => {
  /** A replica read by its own URL. */
  function shownBy(name: string, url: string) {
    const own = createPool(url, { name: 'evenkeel heartbeat', max: 1, settings: {}, queryTimeoutMs: 20_000 })
    onTestFinished(() => own.end())
    const replica = createControl(own, 'evenkeel')
    return { name, read: () => readBeat(replica) }
  }

  test('is as old on a replica as what that replays, and unknown on one that is gone', async () => {
    const [standby, fresh] = [await follow({ name: 's1' }), await follow({ name: 's2' })]
    const heartbeats = [shownBy('one', standby.url), shownBy('two', fresh.url)]
    const sampler = await sample(primary.url, { heartbeats, beat: () => countBeat(control) })
    expect(await untilReading(sampler, 'heartbeat', ({ value }) => value !== null)).toMatchObject({
      signal: 'heartbeat',
    })
    expect(reading(sampler, 'heartbeat')?.value).toBeLessThan(1)

    await on(standby, 'SELECT pg_wal_replay_pause()')
    const first = await untilReading(sampler, 'heartbeat', ({ value }) => (value ?? 0) > 1.5)
    expect(first.detail).toBe('replica one')
    const later = await untilReading(sampler, 'heartbeat', ({ value }) => (value ?? 0) > 4)
    expect((later.value ?? 0) - (first.value ?? 0)).toBeCloseTo((later.at - first.at) / 1000, 0)
    expect(await checkHeartbeats(heartbeats, () => countBeat(control), 0.5)).toEqual([
      expect.stringMatching(/^Replica one does not show a heartbeat within 0\.5 s\./),
    ])
    await on(standby, 'SELECT pg_wal_replay_resume()')
    await untilReading(sampler, 'heartbeat', ({ value }) => value !== null && value < 1)
    expect(await checkHeartbeats(heartbeats, () => countBeat(control), 5)).toEqual([])

    const onFresh = new pg.Client({ connectionString: fresh.url, application_name: 'evenkeel test' })
    await onFresh.connect()
    const { rows } = await onFresh.query(
      "SELECT pid FROM pg_stat_activity WHERE application_name = 'evenkeel heartbeat'",
    )
    await onFresh.end()
    process.kill(rows[0].pid, 'SIGSTOP')
    try {
      // The others are read all the same, so that it can be said which one it is.
      const silent = await untilReading(sampler, 'heartbeat', ({ value }) => value === null)
      expect(silent.detail).toMatch(/^replica two does not answer: /)
    } finally {
      process.kill(rows[0].pid, 'SIGCONT')
    }
    await untilReading(sampler, 'heartbeat', ({ value }) => value !== null)

    await fresh.kill()
    const unknown = await untilReading(sampler, 'heartbeat', ({ value }) => value === null)
    expect(unknown.detail).toMatch(/^replica two cannot be read: /)
    expect(await checkHeartbeats(heartbeats, () => countBeat(control), 5)).toEqual([
      expect.stringMatching(/^Replica two cannot be read: .*ECONNREFUSED/),
    ])
    await fresh.restart()
    await untilReading(sampler, 'heartbeat', ({ worst }) => worst !== null && worst < 2)
  })

  test('is not taken from the primary, nor from a database without it', async () => {
    await follow({ name: 's1' })
    const [own] = [shownBy('itself', primary.url)]
    expect(await checkHeartbeats([own], () => countBeat(control), 1)).toEqual([
      expect.stringMatching(/^Replica itself cannot be read: this server is a primary, not a replica/),
    ])
    const elsewhere = new URL(primary.url)
    elsewhere.pathname = '/template1'
    expect(await checkHeartbeats([shownBy('other', elsewhere.href)], () => countBeat(control), 0.5)).toEqual([
      expect.stringMatching(/^Replica other has no heartbeat table\./),
    ])
  })
})

test('standbys are remembered at their greatest number, whoever has seen it, and replaced as a whole', async () => {
  await rememberStandbys(control, new Map([['a', 2]]))
  await rememberStandbys(
    control,
    new Map([
      ['b', 1],
      ['a', 1],
    ]),
  )
  expect(await listStandbys(control)).toEqual(
    new Map([
      ['a', 2],
      ['b', 1],
    ]),
  )
  await replaceStandbys(
    control,
    new Map([
      ['a', 1],
      ['c', 1],
    ]),
  )
  expect(await listStandbys(control)).toEqual(
    new Map([
      ['a', 1],
      ['c', 1],
    ]),
  )
  await replaceStandbys(control, new Map())
  expect(await listStandbys(control)).toEqual(new Map())
})
