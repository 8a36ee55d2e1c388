import pg from 'pg'
import { expect, onTestFinished, test } from 'vitest'
import { type EmbeddedPostgres, findRedis, startPostgres, startRedis } from '../../src/embedded/index.ts'
import { run } from '../support/process.ts'
import { Client, jobSource, jobsFolder } from '../support/service.ts'
import { until } from '../support/until.ts'

/** Part of every secret here: wherever it is read, something was printed that should not have been. */
const secret = 's3cr3t'
const password = `p@:/?#%& ${secret}`

/** With a role that has a password which is not easily written in a URL. */
async function startWithRole(): Promise<{ postgres: EmbeddedPostgres; url: (password: string) => string }> {
  const postgres = await startPostgres()
  onTestFinished(() => postgres.stop())
  const client = new pg.Client({ connectionString: postgres.url })
  await client.connect()
  await client.query(`CREATE ROLE filler LOGIN SUPERUSER PASSWORD ${client.escapeLiteral(password)}`)
  await client.query('CREATE TABLE items (id int PRIMARY KEY, touched int NOT NULL DEFAULT 0)')
  await client.query('INSERT INTO items SELECT generate_series(1, 500)')
  await client.end()
  const url = (given: string) => `postgres://filler:${given}@127.0.0.1:${postgres.port}/postgres`
  return { postgres, url }
}

test('what cannot start says why, and no secret', async () => {
  const { url } = await startWithRole()
  const jobs = { JOBS_DIR: await jobsFolder({}), REPLICAS: 'none' }
  const right = url(encodeURIComponent(password))
  const nowhere = `postgres://filler:${secret}@127.0.0.1:1/app`
  const cases: ReadonlyArray<readonly [Record<string, string>, string]> = [
    [{ DATABASE_URL: url(secret) }, 'password authentication failed'],
    [{ DATABASE_URL: nowhere }, 'ECONNREFUSED'],
    [{ DATABASE_URL: `postgres://filler:${secret}@nowhere.invalid/app` }, 'nowhere.invalid'],
    [{ DATABASE_URL: `${right}_gone` }, 'does not exist'],
    // As people type them, with a password that was not encoded.
    [{ DATABASE_URL: url(`12/${secret}`) }, 'and spaces as %40'],
    [{ DATABASE_URL: url(`12?${secret}`) }, 'DATABASE_URL'],
    [{ DATABASES: `eu=${right},us=${url(secret)}` }, 'us: password authentication failed'],
    [{ DATABASE_URL: right, HOST: '192.0.2.1', API_TOKENS: `ann:read:${secret}-${secret}-${secret}` }, 'Cannot listen'],
  ]
  for (let next = 0; next < cases.length; next += 4) {
    const few = cases.slice(next, next + 4).map(([env]) => run({ ...jobs, LOG_LEVEL: 'trace', ...env }).refusal())
    for (const [index, refusal] of (await Promise.all(few)).entries()) {
      const words = cases[next + index]?.[1] as string
      expect(refusal).toContain(words)
      expect(refusal).not.toContain(secret)
      expect(refusal).not.toContain('%26') // the password, as it is written in the URL
    }
  }
})

test('what runs, and what breaks under it, prints no secret, nor does any answer hold one', async () => {
  const { postgres, url } = await startWithRole()
  const redis = (await findRedis()) === null ? null : await startRedis()
  onTestFinished(async () => redis?.stop())
  const ops = `${secret}-of-the-operator`
  const jobs = await jobsFolder({
    'touch.ts': jobSource({ name: 'touch', table: 'items', rest: 'set: { touched: sql`touched + 1` }' }),
    'watched.ts': jobSource({
      name: 'watched',
      table: 'items',
      paced: true,
      rest: 'set: { touched: sql`touched + 1` }',
    }),
  })
  const right = url(encodeURIComponent(password))
  const service = run({
    DATABASE_URL: right,
    // It refuses the command that carries the password.
    REDIS_URL: `redis://ann:${secret}@127.0.0.1:${redis?.port ?? 1}`,
    REPLICA_URLS: `${url(secret)},postgres://filler:${secret}@127.0.0.1:1/app`,
    API_TOKENS: `ops:operate:${ops},eye:read:${secret}-of-a-dashboard`,
    JOBS_DIR: jobs,
    LOG_LEVEL: 'trace',
  })
  const { url: address } = await service.client()
  const answers: string[] = []
  const ask = async (method: string, path: string, body?: unknown, token = ops) => {
    const answer = await new Client(address, { authorization: `Bearer ${token}` }).call<unknown>(method, path, body)
    answers.push(JSON.stringify([...answer.headers, answer.body]))
    return answer
  }
  const look = async () => {
    const paths = ['/jobs', '/runs', '/runs/touch-1', '/runs/touch-1/events', '/runs/touch-1/ranges', '/runs/touch-9']
    for (const path of [...paths, '/livez', '/readyz', '/metrics', '/openapi.json', '/nothing', '/%zz'])
      await ask('GET', path)
  }
  expect((await ask('POST', '/runs', { job: 'touch' })).status).toBe(201)
  const refused = await ask('POST', '/runs', { job: 'watched' })
  expect(JSON.stringify([refused.status, refused.body])).toMatch(/409.*127\.0\.0\.1:\d.*password authentication failed/)
  expect((await ask('GET', '/runs', undefined, `${secret}-that-is-wrong`)).status).toBe(401)
  await look()
  await until('the queue to have failed', () => /queue (reports an error|cannot be reached)/.test(service.output))
  await postgres.kill()
  await look()
  expect((await ask('POST', '/pause', {})).status).toBe(503)
  service.process.kill('SIGTERM')
  await until('it to end', () => service.process.exitCode !== null, Boolean)
  // It was asked, and it did talk.
  expect(answers.length).toBeGreaterThan(25)
  expect(service.output).toContain('"level":40')
  expect(service.output).toContain('ECONNREFUSED')
  for (const said of [...answers, service.output]) {
    expect(said).not.toContain(secret)
    expect(said).not.toContain('postgres://')
  }
})

test('an error that nobody catches ends the process with its words, without what hangs on it', async () => {
  const { url } = await startWithRole()
  const jobs = await jobsFolder({
    'late.ts': `setTimeout(() => {
  throw Object.assign(new Error('nobody caught this'), { command: { name: 'auth', args: ['${secret}'.concat('-arg')] } })
}, 1500)
`,
  })
  const refusal = await run({ DATABASE_URL: url(encodeURIComponent(password)), JOBS_DIR: jobs }).refusal()
  expect(refusal).toContain('nobody caught this')
  expect(refusal).not.toContain(secret)
})
