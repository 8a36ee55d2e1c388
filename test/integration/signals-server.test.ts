import { setImmediate as immediate } from 'node:timers/promises'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { EmbeddedPostgres } from '../../src/embedded/index.ts'
import { startPostgres } from '../support/postgres.ts'
import { othersOf, reading, sample, sessionNamed, untilReading } from '../support/sampler.ts'
import { until } from '../support/until.ts'

// What is of the whole server needs one of its own: other tests' sessions, slots and WAL would be in it.
let server: EmbeddedPostgres
let admin: pg.Client

beforeAll(async () => {
  server = await startPostgres({
    settings: {
      fsync: 'on',
      autovacuum: 'off',
      max_prepared_transactions: '5',
      wal_level: 'logical',
      archive_mode: 'on',
      archive_command: 'false',
      wal_keep_size: '0',
    },
  })
  admin = new pg.Client({ connectionString: server.url, application_name: 'evenkeel test' })
  await admin.connect()
})

afterAll(async () => {
  await admin?.end()
  await server?.stop()
})

async function set(name: string, value: string): Promise<void> {
  await admin.query(`ALTER SYSTEM SET ${name} = '${value}'`)
  await admin.query('SELECT pg_reload_conf()')
}

/** So much WAL, beyond what there was. */
async function writeWal(bytes: number): Promise<void> {
  await admin.query("SELECT pg_logical_emit_message(false, 'test', repeat('x', $1))", [bytes])
}

describe('sessions of others', () => {
  test('count while they are at work, for each core, and those of evenkeel never', async () => {
    const sampler = await sample(server.url, { cores: 2 })
    const working = await Promise.all(['shop', 'shop', 'report'].map((name) => sessionNamed(server.url, name)))
    const ours = await sessionNamed(server.url, 'evenkeel engine')
    await untilReading(sampler, 'active', ({ value }) => value === 0)
    const work = [...working, ours].map((session) => session.query('SELECT pg_sleep(600)').catch(() => undefined))
    const busy = await untilReading(sampler, 'active', ({ value }) => value === 1.5)
    expect(busy.detail).toBe('3 sessions on 2 cores')
    expect(othersOf(sampler)).toBe(3)
    await admin.query("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%'")
    await Promise.all(work)
    await untilReading(sampler, 'active', ({ value }) => value === 0)
    await until('others to be quiet', () => othersOf(sampler) === 0)
  })

  test('that are between two short transactions are seen, and idle ones are not', async () => {
    const sampler = await sample(server.url)
    const [shop] = [await sessionNamed(server.url, 'shop'), await sessionNamed(server.url, 'idle')]
    await until('others to be quiet', () => othersOf(sampler) === 0)
    const began = performance.now()
    let least = Number.POSITIVE_INFINITY
    await until('two seconds of short transactions', async () => {
      await shop.query('SELECT 1')
      const passed = performance.now() - began
      // The first look at it may be a whole interval away.
      if (passed > 1200) least = Math.min(least, othersOf(sampler) ?? Number.NaN)
      return passed > 3000
    })
    expect(least).toBe(1)
    await until('others to be quiet', () => othersOf(sampler) === 0)
  })

  test('are unknown where sessions do not say what they do', async () => {
    const sampler = await sample(server.url)
    const silent = await sessionNamed(server.url, 'shop')
    await silent.query('SET track_activities = off')
    await silent.query('SELECT 1')
    const unknown = await untilReading(sampler, 'active', ({ value }) => value === null)
    expect(unknown.detail).toContain('track_activities')
    await until('others to be unknown', () => othersOf(sampler) === null)
    await silent.end()
    await untilReading(sampler, 'active', ({ value }) => value !== null)
  })

  test('do not count where nobody has said how many cores there are', async () => {
    const sampler = await sample(server.url, { cores: null })
    expect(reading(sampler, 'active')).toBeUndefined()
    expect(othersOf(sampler)).not.toBeNull()
  })
})

describe('the probe', () => {
  test('rests while there is no live run: an idle primary stays one', async () => {
    const sampler = await sample(server.url)
    await untilReading(sampler, 'commit-latency', ({ value }) => value !== null)
    sampler.watch([])
    await until('the probe to rest', () => reading(sampler, 'commit-latency') === undefined)
    const position = async () => (await admin.query('SELECT pg_current_wal_lsn()::text AS at')).rows[0].at
    let last = await position()
    // What Postgres itself writes now and then is less often.
    await until('a second without WAL', async () => {
      const before = last
      const asked = performance.now()
      await until('a second', () => performance.now() - asked > 1000)
      last = await position()
      return last === before
    })
  })

  test('feels what a commit waits for, against when it was quiet', async () => {
    const sampler = await sample(server.url)
    const quiet = await untilReading(sampler, 'commit-latency', ({ value }) => value !== null && value < 3)
    expect(quiet.detail).toMatch(/^a tiny transaction: \d+\.\d ms, quiet \d+\.\d ms$/)
    await set('commit_siblings', '0')
    await set('commit_delay', '100000')
    // A tenth of a second, by which every commit waits with its flush for others to join it.
    const slow = await untilReading(sampler, 'commit-latency', ({ detail }) =>
      /^a tiny transaction: 1\d\d\.\d ms/.test(detail),
    )
    expect(slow.value).toBeGreaterThan(10)
    await set('commit_delay', '0')
    await untilReading(sampler, 'commit-latency', ({ value }) => value !== null && value < 3)
  })

  test('does not take our own process standing still for the database', async () => {
    const sampler = await sample(server.url)
    await untilReading(sampler, 'commit-latency', ({ value }) => value !== null && value < 3)
    const began = performance.now()
    const values: Array<number | null> = []
    await until('four seconds of work', async () => {
      for (let time = 0; time < 10; time += 1) {
        for (const stop = performance.now() + 40; performance.now() < stop; );
        await immediate()
      }
      values.push(reading(sampler, 'commit-latency')?.value ?? null)
      return performance.now() - began > 4000
    })
    expect(Math.max(...values.map((value) => value ?? 0))).toBeLessThan(12)
  })

  test('does not pile up sessions while commits wait for a standby that is gone', async () => {
    const sampler = await sample(server.url)
    await untilReading(sampler, 'commit-latency', ({ value }) => value !== null)
    await set('synchronous_standby_names', 'nobody')
    const waiting = async () => {
      const { rows } = await admin.query(
        "SELECT count(*)::int AS waiting FROM pg_stat_activity WHERE wait_event = 'SyncRep'",
      )
      return rows[0].waiting as number
    }
    await until('the probe to wait', waiting, (count) => count === 1)
    // Past both of its limits, the one for cancelling and the one for giving the connection up.
    const began = performance.now()
    let most = 0
    await until('twenty seconds', async () => {
      most = Math.max(most, await waiting())
      return performance.now() - began > 20_000
    })
    expect(most).toBe(1)
    const stuck = reading(sampler, 'commit-latency')
    expect(stuck?.value ?? Number.POSITIVE_INFINITY).toBeGreaterThan(100)
    await admin.query('ALTER SYSTEM RESET synchronous_standby_names')
    await admin.query('SELECT pg_reload_conf()')
    await untilReading(sampler, 'commit-latency', ({ value }) => value !== null && value < 3)
  })
})

test('a look that hangs makes its signals unknown, holds up no others for long, and never piles up', async () => {
  const sampler = await sample(server.url)
  const backends = async () => {
    const { rows } = await admin.query("SELECT pid FROM pg_stat_activity WHERE application_name = 'evenkeel signals'")
    return rows.map(({ pid }) => pid as number)
  }
  await untilReading(sampler, 'commit-latency', ({ worst }) => worst !== null)
  // All that there are: which of them is the next to be asked nobody can tell.
  const stopped = await backends()
  for (const pid of stopped) process.kill(pid, 'SIGSTOP')
  try {
    // Whichever was the next to be asked.
    const [unknown] = await until(
      'a signal to be unknown',
      () => sampler.readings().filter(({ signal, value }) => signal !== 'archive' && value === null),
      (measured) => measured.length > 0,
      5,
    )
    expect(unknown?.detail).toMatch(/timeout|has not been read for/)
    // The probe has a connection of its own.
    expect(unknown?.signal).not.toBe('commit-latency')
    expect(reading(sampler, 'commit-latency')?.value).not.toBeNull()
    for (const signal of ['blocked', 'active', 'snapshot'] as const) {
      await untilReading(sampler, signal, ({ worst }) => worst !== null, { seconds: 15 })
    }
    expect((await backends()).length).toBeLessThanOrEqual(2 * stopped.length)
  } finally {
    for (const pid of stopped) process.kill(pid, 'SIGCONT')
  }
})

describe('slots', () => {
  test('keep WAL for consumers that are there or not; without any there is no reading', async () => {
    const sampler = await sample(server.url)
    expect(reading(sampler, 'slots')).toBeUndefined()
    await admin.query("SELECT pg_create_physical_replication_slot('early', true)")
    await admin.query("SELECT pg_create_physical_replication_slot('unused')")
    const before = await untilReading(sampler, 'slots', ({ detail }) => detail === 'slot early')
    await writeWal(3_000_000)
    await admin.query("SELECT pg_create_physical_replication_slot('late', true)")
    const after = await untilReading(sampler, 'slots', ({ value }) => (value ?? 0) >= 3_000_000)
    expect(after.detail).toBe('slot early')
    expect((after.value ?? 0) - (before.value ?? 0)).toBeLessThan(4_000_000)
    for (const slot of ['early', 'unused', 'late']) await admin.query('SELECT pg_drop_replication_slot($1)', [slot])
    await until(
      'no slot to be left',
      () => reading(sampler, 'slots'),
      (measured) => measured === undefined,
    )
  })

  test('keep what a consumer that has confirmed all of it may need again: from the oldest open transaction on', async () => {
    await admin.query('CREATE TABLE decoded (id int)')
    await admin.query("SELECT pg_create_logical_replication_slot('confirmed', 'test_decoding')")
    const open = await sessionNamed(server.url, 'open')
    await open.query('BEGIN; INSERT INTO decoded VALUES (1)')
    await writeWal(3_000_000)
    // A commit: what is not flushed yet is not given to consumers.
    await admin.query('INSERT INTO decoded VALUES (2)')
    await admin.query("SELECT count(*) FROM pg_logical_slot_get_changes('confirmed', NULL, NULL)")
    const { rows } = await admin.query<{ unread: number }>(
      "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), confirmed_flush_lsn)::int AS unread FROM pg_replication_slots WHERE slot_name = 'confirmed'",
    )
    expect(rows[0]?.unread).toBeLessThan(1_000_000)
    const sampler = await sample(server.url)
    await untilReading(sampler, 'slots', ({ value }) => (value ?? 0) >= 3_000_000)
    await open.query('COMMIT')
    await admin.query("SELECT pg_drop_replication_slot('confirmed')")
  })

  test('that are temporary go by themselves and do not count', async () => {
    const session = await sessionNamed(server.url, 'backup')
    await session.query("SELECT pg_create_physical_replication_slot('passing', true, true)")
    const sampler = await sample(server.url)
    expect(reading(sampler, 'slots')).toBeUndefined()
  })

  test('that lose WAL are unknown, which holds', async () => {
    const sampler = await sample(server.url)
    await admin.query("SELECT pg_create_physical_replication_slot('slow', true)")
    await untilReading(sampler, 'slots', ({ detail }) => detail === 'slot slow')
    await set('max_slot_wal_keep_size', '1MB')
    for (let segment = 0; segment < 3; segment += 1) {
      await writeWal(1000)
      await admin.query('SELECT pg_switch_wal()')
    }
    const unreserved = await untilReading(sampler, 'slots', ({ value }) => value === null)
    expect(unreserved.detail).toMatch(/^slot slow is (unreserved|lost): .*pg_drop_replication_slot\('slow'\)$/)
    await until('the slot to be lost', async () => {
      await admin.query('CHECKPOINT')
      return reading(sampler, 'slots')?.detail.startsWith('slot slow is lost')
    })
    await admin.query("SELECT pg_drop_replication_slot('slow')")
    await set('max_slot_wal_keep_size', '-1')
    await until(
      'no slot to be left',
      () => reading(sampler, 'slots'),
      (measured) => measured === undefined,
    )
  })
})

test('the archive has so many segments to go, and is unknown while it has never succeeded', async () => {
  const sampler = await sample(server.url)
  await writeWal(1000)
  await admin.query('SELECT pg_switch_wal()')
  const never = await untilReading(sampler, 'archive', ({ detail }) => detail.includes('failed'))
  expect(never).toMatchObject({ value: null, worst: null })
  expect(never.detail).toMatch(/^archiving has failed \d+ times? and never succeeded, last on [0-9A-F]{24}: see/)

  await set('archive_command', 'true')
  await untilReading(sampler, 'archive', ({ value }) => value === 0)

  await set('archive_command', 'false')
  for (let segment = 0; segment < 3; segment += 1) {
    await writeWal(1000)
    await admin.query('SELECT pg_switch_wal()')
  }
  const failing = await untilReading(sampler, 'archive', ({ value, detail }) => value === 3 && detail.includes('fails'))
  expect(failing.detail).toMatch(/^the archiver, which fails on [0-9A-F]{24} /)
  await set('archive_command', 'true')
  await untilReading(sampler, 'archive', ({ value, detail }) => value === 0 && detail === 'the archiver')
})

test('a prepared transaction is the oldest though no session has it', async () => {
  const session = await sessionNamed(server.url, 'shop')
  await session.query('CREATE TABLE prepared (id int)')
  await session.query("BEGIN; INSERT INTO prepared VALUES (1); PREPARE TRANSACTION 'left behind'")
  await session.end()
  const sampler = await sample(server.url)
  const open = await untilReading(sampler, 'snapshot', ({ value }) => (value ?? 0) > 0)
  expect(open.detail).toBe('prepared transaction left behind')
  await admin.query("ROLLBACK PREPARED 'left behind'")
  await untilReading(sampler, 'snapshot', ({ value }) => value === 0)
})
