import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { chmod, chown, mkdir, mkdtemp, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { pathToFileURL } from 'node:url'
import pg from 'pg'
import { afterAll, afterEach, expect, test } from 'vitest'
import { unprivilegedAccount } from '../../src/embedded/account.ts'
import { copyDataDir } from '../../src/embedded/copy.ts'
import { type EmbeddedPostgres, type StandbyOptions, startPostgres, startStandby } from '../../src/embedded/index.ts'
import { alive } from '../../src/embedded/os-process.mjs'
import { isNightly, perCommit } from '../support/tier.ts'
import { until } from '../support/until.ts'

const undo: (() => Promise<unknown>)[] = []

afterEach(async () => {
  for (const each of undo.splice(0).reverse()) await each()
})

async function primaryWith(settings: Record<string, string> = {}): Promise<EmbeddedPostgres> {
  const primary = await startPostgres({ settings })
  undo.push(() => primary.stop())
  return primary
}

let shared: EmbeddedPostgres | undefined
afterAll(() => shared?.stop())

/** For tests that leave it as it was: without standbys, and with no table but `t`. */
async function sharedPrimary(): Promise<EmbeddedPostgres> {
  shared ??= await startPostgres()
  const primary = shared
  await query(primary, 'DROP TABLE IF EXISTS t')
  await until(
    'the standbys of the test before to be gone',
    () => states(primary),
    (seen) => Object.keys(seen).length === 0,
  )
  return primary
}

async function standbyOf(primary: EmbeddedPostgres, options: StandbyOptions): Promise<EmbeddedPostgres> {
  // less than a test has, so that it fails with the reason
  const standby = await startStandby(primary, { startTimeoutMs: 60_000, ...options })
  undo.push(() => standby.stop())
  return standby
}

async function connect(server: { url: string }): Promise<pg.Client> {
  const client = new pg.Client(server.url)
  client.on('error', () => {})
  await client.connect()
  return client
}

async function query(server: { url: string }, ...statements: string[]): Promise<unknown[][]> {
  const client = await connect(server)
  try {
    let rows: unknown[][] = []
    for (const text of statements) rows = (await client.query({ text, rowMode: 'array' })).rows
    return rows
  } finally {
    await client.end()
  }
}

async function value(server: { url: string }, text: string): Promise<unknown> {
  return (await query(server, text))[0]?.[0]
}

/** What the primary says of its standbys, by name. */
async function states(primary: EmbeddedPostgres): Promise<Record<string, string>> {
  const rows = await query(primary, 'SELECT application_name, state FROM pg_stat_replication ORDER BY 1')
  return Object.fromEntries(rows)
}

async function caughtUp(primary: EmbeddedPostgres, standby: EmbeddedPostgres): Promise<void> {
  const lsn = await value(primary, 'SELECT pg_current_wal_lsn()')
  await until('the standby to have replayed it all', () =>
    value(standby, `SELECT pg_last_wal_replay_lsn() >= '${lsn}'::pg_lsn`),
  )
}

async function received(primary: EmbeddedPostgres, standby: EmbeddedPostgres): Promise<void> {
  const lsn = await value(primary, 'SELECT pg_current_wal_lsn()')
  await until('the standby to have received it all', () =>
    value(standby, `SELECT flushed_lsn >= '${lsn}'::pg_lsn FROM pg_stat_wal_receiver`),
  )
}

test('two standbys stream what is written to the primary, each under its name, and go without a trace', async () => {
  const primary = await primaryWith({ max_connections: '321', max_locks_per_transaction: '99' })
  await query(primary, 'CREATE TABLE t AS SELECT generate_series(1, 1000) AS id')
  // what a conninfo and a settings file have to quote
  const odd = String.raw`it's \right`
  const both = await Promise.all([
    standbyOf(primary, { name: 'left' }),
    standbyOf(primary, { name: odd, settings: { work_mem: '7MB' } }),
  ])
  expect(await states(primary)).toEqual({ left: 'streaming', [odd]: 'streaming' })
  expect(await value(primary, 'SELECT count(*)::int FROM pg_replication_slots')).toBe(0)
  await query(primary, 'INSERT INTO t SELECT generate_series(1001, 2000)')
  for (const standby of both) {
    expect(await value(standby, 'SELECT pg_is_in_recovery()')).toBe(true)
    await until(
      'the rows',
      () => value(standby, 'SELECT count(*)::int FROM t'),
      (count) => count === 2000,
    )
    await expect(query(standby, 'DELETE FROM t')).rejects.toThrow(/read-only transaction/)
    expect(new URL(standby.url).port).toBe(String(standby.port))
  }
  expect(await value(both[1], "SELECT current_setting('work_mem')")).toBe('7MB')
  expect(new Set([primary, ...both].flatMap((each) => [each.port, each.pid, each.dataDir])).size).toBe(9)

  const pids = both.map((standby) => standby.pid as number)
  await both[0].stop()
  expect(await value(both[1], 'SELECT count(*)::int FROM t')).toBe(2000)
  await both[1].stop()
  expect(pids.some((pid) => alive(pid))).toBe(false)
  expect(both.map((standby) => existsSync(dirname(standby.dataDir)))).toEqual([false, false])
  await until(
    'the primary to see none',
    () => states(primary),
    (seen) => Object.keys(seen).length === 0,
  )
})

test('goes on after a pause of the replay', async () => {
  const primary = await sharedPrimary()
  await query(primary, 'CREATE TABLE t AS SELECT 1 AS id')
  const standby = await standbyOf(primary, { name: 'one' })
  await query(standby, 'SELECT pg_wal_replay_pause()')
  await until(
    'the pause',
    () => value(standby, 'SELECT pg_get_wal_replay_pause_state()'),
    (state) => state === 'paused',
  )
  await query(primary, 'INSERT INTO t VALUES (2)')
  await received(primary, standby)
  expect(await value(standby, 'SELECT count(*)::int FROM t')).toBe(1)
  await query(standby, 'SELECT pg_wal_replay_resume()')
  await until(
    'the row',
    () => value(standby, 'SELECT count(*)::int FROM t'),
    (count) => count === 2,
  )
})

test('a killed standby is gone for the primary; restarted, it has what was written meanwhile', async () => {
  // no more WAL than it must keep
  const primary = await primaryWith({ min_wal_size: '32MB', max_wal_size: '32MB' })
  await query(primary, 'CREATE TABLE t (id int)')
  const standby = await standbyOf(primary, { name: 'one' })
  const { url, pid } = standby
  await standby.kill()
  expect(standby.pid).toBe(null)
  expect(alive(pid as number)).toBe(false)
  await until(
    'its row to vanish',
    () => states(primary),
    (seen) => Object.keys(seen).length === 0,
  )
  for (let n = 1; n <= 10; n++)
    await query(primary, `INSERT INTO t VALUES (${n})`, 'SELECT pg_switch_wal()', 'CHECKPOINT')
  await standby.restart()
  expect(await states(primary)).toEqual({ one: 'streaming' })
  expect(standby.url).toBe(url)
  await caughtUp(primary, standby)
  expect(await value(standby, 'SELECT count(*)::int FROM t')).toBe(10)

  await standby.restart()
  expect(await states(primary)).toEqual({ one: 'streaming' })
  await standby.stop()
  await expect(standby.restart()).rejects.toThrow(/stopped for good/)
})

test('comes back by itself when its primary was restarted, or crashed', async () => {
  const primary = await primaryWith()
  await query(primary, 'CREATE TABLE t (id int)')
  const standby = await standbyOf(primary, { name: 'one' })
  const { pid } = standby
  for (const [index, away] of [() => primary.restart(), () => primary.kill().then(() => primary.restart())].entries()) {
    await away()
    await query(primary, `INSERT INTO t VALUES (${index})`)
    await until(
      'the row',
      () => value(standby, 'SELECT count(*)::int FROM t'),
      (count) => count === index + 1,
    )
    expect(await states(primary)).toEqual({ one: 'streaming' })
  }
  expect(standby.pid).toBe(pid)
})

test('a restart beside a primary that is down waits for it', async () => {
  const primary = await primaryWith()
  const standby = await standbyOf(primary, { name: 'one' })
  await primary.kill()
  const restarted = standby.restart().then(() => true)
  await until('the standby to answer', () => value(standby, 'SELECT pg_is_in_recovery()'))
  expect(await Promise.race([restarted, 'not yet'])).toBe('not yet')
  await primary.restart()
  expect(await restarted).toBe(true)
  expect(await states(primary)).toEqual({ one: 'streaming' })
})

test.each([
  ['is killed', async (standby: EmbeddedPostgres) => process.kill(standby.pid as number, 'SIGKILL')],
  ['is stopped', (standby: EmbeddedPostgres) => standby.stop()],
])('one that %s before it streams is not waited for', async (_, end) => {
  const primary = await primaryWith()
  const standby = await standbyOf(primary, { name: 'one', startTimeoutMs: 600_000 })
  await primary.kill()
  const rejected = expect(standby.restart()).rejects.toThrow(/standby one has ended/)
  await until('the standby to answer', () => value(standby, 'SELECT pg_is_in_recovery()'))
  await end(standby)
  await rejected
  expect(standby.pid).toBe(null)
})

test('a standby of a standby', async () => {
  const primary = await sharedPrimary()
  await query(primary, 'CREATE TABLE t AS SELECT generate_series(1, 1000) AS id')
  const middle = await standbyOf(primary, { name: 'middle' })
  await query(middle, "ALTER SYSTEM SET recovery_min_apply_delay = '1h'")
  const last = await standbyOf(middle, { name: 'last' })
  expect(await states(primary)).toEqual({ middle: 'streaming' })
  expect(await states(middle)).toEqual({ last: 'streaming' })
  expect(await value(middle, 'SELECT count(*)::int FROM pg_replication_slots')).toBe(0)
  expect(await value(last, "SELECT current_setting('recovery_min_apply_delay')")).toBe('0')
  await query(primary, 'INSERT INTO t SELECT generate_series(1001, 2000)')
  await until(
    'the rows',
    () => value(last, 'SELECT count(*)::int FROM t'),
    (count) => count === 2000,
  )

  await query(middle, 'ALTER SYSTEM RESET ALL')
  await middle.kill()
  await query(primary, 'INSERT INTO t SELECT generate_series(2001, 3000)')
  await middle.restart()
  await until(
    'the rows',
    () => value(last, 'SELECT count(*)::int FROM t'),
    (count) => count === 3000,
  )
})

test('recovery_min_apply_delay: what is written is there, but not to be seen', async () => {
  const primary = await sharedPrimary()
  await query(primary, 'CREATE TABLE t AS SELECT 1 AS id')
  const standby = await standbyOf(primary, { name: 'late', settings: { recovery_min_apply_delay: '1h' } })
  const write = async (id: number) => {
    await query(primary, `INSERT INTO t VALUES (${id})`)
    await received(primary, standby)
  }
  await write(2)
  expect(await value(standby, 'SELECT count(*)::int FROM t')).toBe(1)
  // Postgres does not stream until it has replayed what it has: this must not wait for an hour
  await standby.restart()
  expect(await value(standby, 'SELECT count(*)::int FROM t')).toBe(1)
  await query(standby, "ALTER SYSTEM SET recovery_min_apply_delay = '0'", 'SELECT pg_reload_conf()')
  await until(
    'the row',
    () => value(standby, 'SELECT count(*)::int FROM t'),
    (count) => count === 2,
  )
  await until(
    'it to stream again',
    () => states(primary),
    (seen) => seen.late === 'streaming',
  )
  await write(3)
  await until(
    'the next row',
    () => value(standby, 'SELECT count(*)::int FROM t'),
    (count) => count === 3,
  )
})

test('promoted, it can still be restarted', async () => {
  const primary = await sharedPrimary()
  const standby = await standbyOf(primary, { name: 'heir' })
  expect(await value(standby, 'SELECT pg_promote()')).toBe(true)
  await standby.restart()
  expect(await value(standby, 'SELECT pg_is_in_recovery()')).toBe(false)
})

test.each([['a primary', false] as const, ...(isNightly ? [['a standby', true] as const] : [])])(
  'a copy of %s that is being written to is whole',
  async (_, cascade) => {
    // no WAL kept, and checkpoints all the time: files go, and what the copy lacks must not
    const forgetful = { wal_keep_size: '0', min_wal_size: '32MB', max_wal_size: '32MB' }
    const primary = await primaryWith(cascade ? {} : forgetful)
    const source = cascade ? await standbyOf(primary, { name: 'middle', settings: forgetful }) : primary
    await query(
      primary,
      'CREATE EXTENSION amcheck',
      'CREATE TABLE t (id bigserial PRIMARY KEY, n int NOT NULL, filler text NOT NULL)',
      `INSERT INTO t (n, filler) SELECT g % 100, repeat('x', 400) FROM generate_series(1, ${perCommit(20_000, { nightly: 100_000 })}) g`,
      'CREATE INDEX ON t (n)',
    )
    if (cascade) await caughtUp(primary, source)

    let enough = false
    const rounds: Record<string, number> = {}
    const busy = async (what: string, statements: () => string[]) => {
      const client = await connect(primary)
      while (!enough) {
        for (const text of statements()) await client.query(text)
        rounds[what] = (rounds[what] ?? 0) + 1
      }
      await client.end()
    }
    const key = () => Math.floor(Math.random() * 100_000)
    const work = [
      busy('updates', () => [`UPDATE t SET n = n + 1 WHERE id BETWEEN ${key()} AND ${key()} AND n % 50 = 0`]),
      busy('inserts', () => ["INSERT INTO t (n, filler) SELECT g, repeat('y', 400) FROM generate_series(1, 500) g"]),
      busy('tables', () => ['CREATE TABLE u AS SELECT generate_series(1, 20000) AS id', 'TRUNCATE u', 'DROP TABLE u']),
      busy('temporary', () => ['CREATE TEMP TABLE v AS SELECT generate_series(1, 2000) AS id', 'DROP TABLE v']),
      busy('databases', () => ['CREATE DATABASE w STRATEGY file_copy', 'DROP DATABASE w']),
      busy('checkpoints', () => [
        'DELETE FROM t WHERE id > 110000',
        'VACUUM t',
        'SELECT pg_switch_wal()',
        'CHECKPOINT',
      ]),
    ]
    undo.push(() => {
      enough = true
      return Promise.allSettled(work)
    })
    await until('all to be at work', () => Object.keys(rounds).length === work.length)
    const before = { ...rounds }
    // until it is there and no longer: on a slow machine it would then fall behind what is kept
    const connected = until(
      'it to connect',
      () => states(source),
      (seen) => 'copy' in seen,
    ).then(() => {
      enough = true
      return { ...rounds }
    })
    const [standby, after] = await Promise.all([standbyOf(source, { name: 'copy' }), connected])
    for (const what of ['updates', 'inserts', 'tables', 'temporary']) {
      expect(after[what], `${what} while it was copied`).toBeGreaterThan(before[what] as number)
    }
    await Promise.all(work)

    await caughtUp(primary, standby)
    const sum = `SELECT count(*)::int, sum(n)::bigint, md5(string_agg(id || ':' || n, ',' ORDER BY id)) FROM t`
    expect(await query(standby, sum)).toEqual(await query(primary, sum))
    const indexes = "SELECT count(bt_index_check(indexrelid, true))::int FROM pg_index WHERE indrelid = 't'::regclass"
    expect(await value(standby, indexes)).toBe(2)
    expect(await query(standby, "SELECT * FROM verify_heapam('t')")).toEqual([])
  },
)

test('a copy ends though its files shrink, and has the latest control file', async () => {
  const folder = await ownFolder()
  const [from, to] = [join(folder, 'from'), join(folder, 'to')]
  const [file, control] = [join('base', 'table'), join('global', 'pg_control')]
  for (const name of ['base', 'global']) await mkdir(join(from, name), { recursive: true })
  await writeFile(join(from, control), 'old')
  await writeFile(join(from, file), '')
  await truncate(join(from, file), 2 ** 30)
  const copied = copyDataDir(from, to, null)
  await until('it to be at the large file', async () => (await stat(join(to, file))).size > 0)
  await writeFile(join(from, control), 'new')
  await truncate(join(from, file), 0)
  await copied
  expect((await stat(join(to, file))).size).toBeLessThan(2 ** 30)
  expect(await readFile(join(to, control), 'utf8')).toBe('new')
})

test('the password is in no log and in no setting, and the files are for its account alone', async () => {
  const primary = await sharedPrimary()
  const standby = await standbyOf(primary, { name: 'one' })
  // a setting that changes is logged with its value
  const conninfo = await value(standby, 'SHOW primary_conninfo')
  await query(standby, `ALTER SYSTEM SET primary_conninfo = '${String(conninfo).replaceAll("'", "''")} keepalives=1'`)
  await query(standby, 'SELECT pg_reload_conf()')
  const log = () => readFile(standby.logFile, 'utf8')
  await until('the change to be logged', log, (text) => /"primary_conninfo" changed/.test(text))
  const { password } = new URL(standby.url)
  for (const text of [conninfo, await log(), await readFile(primary.logFile, 'utf8')])
    expect(text).not.toContain(password)
  expect(await readdir(standby.dataDir)).not.toContain('evenkeel.secret.json')

  const account = unprivilegedAccount() ?? { uid: process.getuid?.(), gid: process.getgid?.() }
  const files = await readdir(standby.dataDir, { recursive: true, withFileTypes: true })
  for (const path of [standby.dataDir, ...files.map((file) => join(file.parentPath, file.name))]) {
    const { uid, gid, mode } = await stat(path)
    expect([path, uid, gid, mode & 0o077]).toEqual([path, account.uid, account.gid, 0])
  }
  expect((await stat(join(dirname(standby.dataDir), 'pgpass'))).mode & 0o777).toBe(0o600)
})

test('a standby that cannot be says why, and leaves nothing behind', async () => {
  const primary = await primaryWith()
  const TMPDIR = await ownFolder()
  const tablespace = await ownFolder()
  const account = unprivilegedAccount()
  if (account !== null) await chown(tablespace, account.uid, account.gid)
  await expect(startStandby(primary, { name: 'zoë' })).rejects.toThrow(/cannot be an application_name/)
  await expect(startStandby(primary, { name: '' })).rejects.toThrow(/cannot be an application_name/)
  await inFolder(TMPDIR, async () => {
    const few = startStandby(primary, { name: 'few', settings: { max_connections: '10' } })
    await expect(few).rejects.toThrow(/max_connections = 10 is a lower setting/)
    const deaf = startStandby(primary, { name: 'deaf', settings: { hot_standby: 'off' }, startTimeoutMs: 1000 })
    await expect(deaf).rejects.toThrow(/deaf does not stream within 1000 ms: .*not accepting connections/)
    expect(execFileSync('ps', ['-A', '-o', 'args='], { encoding: 'utf8' })).not.toContain(TMPDIR)
    await query(primary, `CREATE TABLESPACE elsewhere LOCATION '${tablespace}'`)
    await expect(startStandby(primary, { name: 'one' })).rejects.toThrow(/tablespaces/)
  })
  expect(await readdir(TMPDIR)).toEqual([])
  expect(await states(primary)).toEqual({})
  expect(await value(primary, 'SELECT count(*)::int FROM pg_replication_slots')).toBe(0)
})

test.each([
  ['when it runs', async (folder: string) => existsSync(join(folder, 'done'))],
  [
    'in the middle of the copy',
    async (folder: string) => {
      const [base = ''] = (await readdir(folder)).filter((name) => name.startsWith('evenkeel-standby'))
      const data = join(folder, base, 'data')
      return existsSync(join(data, 'base')) && !existsSync(join(data, 'backup_label'))
    },
  ],
])('when our process is killed %s, the standby goes, and its folders with it', async (_, reached) => {
  const TMPDIR = await ownFolder()
  const index = new URL('../../src/embedded/index.ts', import.meta.url).href
  const script = `
    import { startPostgres, startStandby } from '${index}'
    import { renameSync, writeFileSync } from 'node:fs'
    const primary = await startPostgres()
    const standby = await startStandby(primary, { name: 'one' })
    writeFileSync('${TMPDIR}/half', JSON.stringify([primary.pid, standby.pid]))
    renameSync('${TMPDIR}/half', '${TMPDIR}/done')
    setInterval(() => {}, 1000)`
  const tsx = pathToFileURL(createRequire(import.meta.url).resolve('tsx')).href
  const child = spawn(process.execPath, ['--import', tsx, '--input-type=module', '-e', script], {
    env: { ...process.env, NODE_OPTIONS: '', TMPDIR },
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  const exit = once(child, 'exit')
  undo.push(async () => {
    child.kill('SIGKILL')
    await exit
  })
  await until('the moment', () => reached(TMPDIR))
  const pids: number[] = JSON.parse(await readFile(join(TMPDIR, 'done'), 'utf8').catch(() => '[]'))
  child.kill('SIGKILL')
  const folders = async () => (await readdir(TMPDIR)).filter((name) => name.startsWith('evenkeel-'))
  await until('the folders to be gone', folders, (names) => names.length === 0)
  expect(pids.some((pid) => alive(pid))).toBe(false)
})

async function ownFolder(): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'evenkeel-test-'))
  await chmod(path, 0o755)
  undo.push(() => rm(path, { recursive: true, force: true }))
  return path
}

async function inFolder(path: string, work: () => Promise<void>): Promise<void> {
  const before = process.env.TMPDIR
  process.env.TMPDIR = path
  try {
    await work()
  } finally {
    if (before === undefined) delete process.env.TMPDIR
    else process.env.TMPDIR = before
  }
}
