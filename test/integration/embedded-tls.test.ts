import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { describe, expect, onTestFinished, test } from 'vitest'
import { accountOf } from '../../src/embedded/account.ts'
import { type EmbeddedPostgres, findRedis, startPostgres } from '../../src/embedded/index.ts'
import { freePort } from '../../src/embedded/port.ts'
import { writeOwned } from '../../src/embedded/secret.ts'
import { type Certificate, createAuthority, createCertificate } from '../support/certificates.ts'
import { run } from '../support/process.ts'
import { jobSource, jobsFolder } from '../support/service.ts'
import { until } from '../support/until.ts'

async function folder(): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'evenkeel-tls-'))
  onTestFinished(() => rm(path, { recursive: true, force: true }))
  return path
}

/** One into which sessions get only over TLS, with this certificate. */
async function startEncrypted({ key, cert }: Certificate): Promise<EmbeddedPostgres> {
  const postgres = await startPostgres()
  onTestFinished(() => postgres.stop())
  const { uid, gid } = await stat(postgres.dataDir)
  const account = process.getuid?.() === 0 ? accountOf({ uid, gid }) : null
  const rules = join(postgres.dataDir, 'pg_hba.conf')
  await writeOwned(join(postgres.dataDir, 'server.key'), key, account)
  await writeOwned(join(postgres.dataDir, 'server.crt'), cert, account)
  await writeOwned(rules, (await readFile(rules, 'utf8')).replace(/^host /gm, 'hostssl '), account)
  const client = new pg.Client({ connectionString: postgres.url })
  await client.connect()
  await client.query('CREATE TABLE items (id int PRIMARY KEY, touched int NOT NULL DEFAULT 0)')
  await client.query('INSERT INTO items SELECT generate_series(1, 500)')
  await client.query('ALTER SYSTEM SET ssl = on')
  await client.query('SELECT pg_reload_conf()')
  await client.end()
  return postgres
}

/** The URL of a server by another name, with settings of its connection. */
function at(url: string, host: string, settings: Readonly<Record<string, string>>): string {
  const named = new URL(url)
  named.hostname = host
  for (const [name, value] of Object.entries(settings)) named.searchParams.set(name, value)
  return named.href
}

async function touchJobs(): Promise<string> {
  return jobsFolder({
    'touch.ts': jobSource({ name: 'touch', table: 'items', rest: 'set: { touched: sql`touched + 1` }' }),
  })
}

const verified = { sslmode: 'verify-full' }

describe('TLS to Postgres', () => {
  test('with the authority of its own: every connection is encrypted, the queue’s and the replicas’ too', async () => {
    const authority = await createAuthority('ours')
    const postgres = await startEncrypted(await createCertificate(authority, 'localhost'))
    const ca = join(await folder(), 'ca file.pem')
    await writeFile(ca, authority.cert)
    const url = at(postgres.url, 'localhost', { ...verified, sslrootcert: ca })
    const client = await run({ DATABASE_URL: url, REPLICA_URLS: url, JOBS_DIR: await touchJobs() }).client()
    const id = await client.start('touch')
    await client.reaches(id, ['succeeded'])
    const looker = new pg.Client({ connectionString: url })
    await looker.connect()
    onTestFinished(() => looker.end())
    const { rows } = await looker.query(
      "SELECT DISTINCT application_name AS name, ssl FROM pg_stat_activity JOIN pg_stat_ssl USING (pid) WHERE application_name LIKE 'evenkeel%' ORDER BY 1",
    )
    const names = ['control', 'engine', 'heartbeat', 'probe', 'queue', 'signals']
    expect(rows).toEqual(names.map((name) => ({ name: `evenkeel ${name}`, ssl: true })))
  })

  test('an authority that the whole process trusts will do; a wrong one, a wrong name and none are refused in words', async () => {
    const [ours, theirs] = await Promise.all([createAuthority('ours'), createAuthority('theirs')])
    const postgres = await startEncrypted(await createCertificate(ours, 'localhost'))
    const place = await folder()
    await writeFile(join(place, 'ours.pem'), ours.cert)
    await writeFile(join(place, 'theirs.pem'), theirs.cert)
    const jobs = { JOBS_DIR: await jobsFolder({}) }
    const cases: ReadonlyArray<readonly [string, string, string]> = [
      [
        'a wrong authority',
        at(postgres.url, 'localhost', { ...verified, sslrootcert: join(place, 'theirs.pem') }),
        'sslrootcert',
      ],
      ['none', at(postgres.url, 'localhost', verified), 'NODE_EXTRA_CA_CERTS'],
      ['require, which checks as well', at(postgres.url, 'localhost', { sslmode: 'require' }), 'NODE_EXTRA_CA_CERTS'],
      [
        'a wrong name',
        at(postgres.url, '127.0.0.1', { ...verified, sslrootcert: join(place, 'ours.pem') }),
        'use the host name in the server',
      ],
      [
        'a file that is not there',
        at(postgres.url, 'localhost', { ...verified, sslrootcert: join(place, 'no.pem') }),
        'no.pem',
      ],
      ['no TLS', postgres.url, 'sslmode=verify-full'],
    ]
    const refusals = await Promise.all(cases.map(([, url]) => run({ DATABASE_URL: url, ...jobs }).refusal()))
    for (const [index, [what, url, words]] of cases.entries()) {
      const refusal = refusals[index] as string
      expect(refusal, what).toContain('The database cannot be used')
      expect(refusal, what).toContain(words)
      expect(refusal, what).not.toContain(new URL(url).password)
      expect(refusal, what).not.toMatch(/\n\s+at /)
    }
    const trusting = {
      DATABASE_URL: at(postgres.url, 'localhost', verified),
      NODE_EXTRA_CA_CERTS: join(place, 'ours.pem'),
    }
    const blind = { DATABASE_URL: at(postgres.url, '127.0.0.1', { sslmode: 'no-verify' }) }
    for (const env of [trusting, blind]) {
      const client = await run({ ...env, ...jobs }).client()
      expect((await client.call<unknown>('GET', '/readyz')).body).toMatchObject({ database: 'ok', queue: 'ok' })
    }
  })

  test('where the server has none, a session that wants it is refused', async () => {
    const postgres = await startPostgres()
    onTestFinished(() => postgres.stop())
    const url = at(postgres.url, 'localhost', verified)
    expect(await run({ DATABASE_URL: url, JOBS_DIR: await jobsFolder({}) }).refusal()).toContain('does not support SSL')
  })
})

const redis = await findRedis()

test.skipIf(redis === null)(
  'TLS to Redis, with an authority that the process trusts; without it, the queue is not used',
  async (context) => {
    const authority = await createAuthority('ours')
    const { key, cert } = await createCertificate(authority, 'localhost')
    const place = await folder()
    const files = { 'ca.pem': authority.cert, 'server.key': key, 'server.crt': cert }
    for (const [name, content] of Object.entries(files)) await writeFile(join(place, name), content)
    const port = await freePort()
    const settings = {
      port: '0',
      'tls-port': String(port),
      'tls-cert-file': 'server.crt',
      'tls-key-file': 'server.key',
      'tls-ca-cert-file': 'ca.pem',
      'tls-auth-clients': 'no',
      requirepass: 'only-for-this-test',
      bind: '127.0.0.1',
      save: '',
      'maxmemory-policy': 'noeviction',
    }
    const server = spawn(
      redis as string,
      Object.entries(settings).flatMap(([name, value]) => [`--${name}`, value]),
      {
        cwd: place,
        stdio: ['ignore', 'pipe', 'pipe'],
      },
    )
    let said = ''
    for (const stream of [server.stdout, server.stderr]) stream.on('data', (chunk) => (said += chunk))
    const ended = once(server, 'exit')
    onTestFinished(async () => {
      server.kill('SIGKILL')
      await ended
    })
    await until('Redis to start, or not to', () => server.exitCode !== null || /Ready to accept connections/.test(said))
    // Where CI runs, TLS to Redis is not left untested: the one that it installs is built with it.
    if (server.exitCode !== null && /tls/i.test(said) && !process.env.CI)
      context.skip(`this Redis is built without TLS: ${said.trim()}`)

    const postgres = await startPostgres()
    onTestFinished(() => postgres.stop())
    const client = new pg.Client({ connectionString: postgres.url })
    await client.connect()
    await client.query('CREATE TABLE items (id int PRIMARY KEY, touched int NOT NULL DEFAULT 0)')
    await client.query('INSERT INTO items SELECT generate_series(1, 500)')
    await client.end()
    const env = {
      DATABASE_URL: postgres.url,
      REDIS_URL: `rediss://:only-for-this-test@localhost:${port}`,
      JOBS_DIR: await touchJobs(),
    }
    const wary = await run({ ...env, ROLE: 'api' }).client()
    expect((await wary.call<unknown>('GET', '/readyz')).body).toMatchObject({ queue: 'cannot be reached' })
    const trusting = await run({ ...env, NODE_EXTRA_CA_CERTS: join(place, 'ca.pem') }).client()
    expect((await trusting.call<unknown>('GET', '/readyz')).body).toMatchObject({ database: 'ok', queue: 'ok' })
    await trusting.reaches(await trusting.start('touch'), ['succeeded'])
  },
)
