import { createPostgresBackend, Queue } from 'bullmq'
import { describe, expect, inject, onTestFinished, test } from 'vitest'
import { createDatabase, type TestDatabase } from '../support/database.ts'
import { countDone, createItems } from '../support/items.ts'
import { exchange, requestBytes } from '../support/raw-http.ts'
import { Client, queueKind, startInProcess } from '../support/service.ts'
import { until } from '../support/until.ts'

const operate = 'correct-horse-battery'
const read = 'only-looking-around'

async function guarded() {
  const database = await createDatabase()
  const { url } = await startInProcess(database, await createItems(database, 10), {
    ROLE: 'api',
    API_CALLS_PER_SECOND: '50',
    API_TOKENS: `ops:operate:${operate},eye:read:${read}`,
  })
  return { url, database }
}

/** A request for each of these tokens, all of them there before the first is answered; and the answers. */
async function burst(url: string, secrets: readonly string[]): Promise<Array<{ status: number; text: string }>> {
  const requests = secrets.map((secret, index) =>
    requestBytes('GET', '/runs/nobody-1', [
      ['authorization', `Bearer ${secret}`],
      ['connection', index === secrets.length - 1 ? 'close' : 'keep-alive'],
    ]),
  )
  const { text } = await exchange(url, Buffer.concat(requests))
  return text
    .split(/(?=HTTP\/1\.1 \d{3} )/)
    .map((answer) => ({ status: Number(answer.slice('HTTP/1.1 '.length, 'HTTP/1.1 404'.length)), text: answer }))
}

describe('what a token may', () => {
  test('every route that there is asks for one, and one that reads cannot act', async () => {
    const { url } = await guarded()
    const eye = new Client(url, { authorization: `Bearer ${read}` })
    const { body } = await eye.call<{ paths: Record<string, Record<string, unknown>> }>('GET', '/openapi.json')
    const routes = Object.entries(body.paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => [method.toUpperCase(), path.replace(/\{[^}]+\}/g, 'touch-1')] as const),
    )
    expect(routes.length).toBeGreaterThan(15)
    const hidden = [['GET', '/metrics'] as const, ['GET', '/openapi.json'] as const]
    const odd = ['OPTIONS', 'TRACE', 'PUT', 'PROPFIND', 'QUERY'].map((method) => [method, '/runs'] as const)
    for (const [method, path] of [...routes, ...hidden, ...odd]) {
      const as = async (...headers: Array<[string, string]>) =>
        (await exchange(url, requestBytes(method, path, headers))).status
      if (['/livez', '/readyz'].includes(path)) {
        expect(await as(), `${method} ${path}`).toBe(200)
        continue
      }
      expect(await as(), `${method} ${path} without a token`).toBe(401)
      const reading = await as(['authorization', `Bearer ${read}`])
      if (method === 'GET') expect([200, 404], `${method} ${path} to read`).toContain(reading)
      else expect(reading, `${method} ${path} to read`).toBe(403)
      if (method === 'GET') expect((await exchange(url, requestBytes('HEAD', path, []))).status).toBe(401)
    }
    for (const path of [
      '/livez/',
      '/livez/../runs',
      '//livez',
      '/livez%2f..%2fruns',
      '/LIVEZ',
      '/livez;/runs',
      '/runs?/livez',
    ])
      expect((await exchange(url, requestBytes('GET', path, []))).status, path).toBe(401)
  })

  test('no answer is for a cache, a frame or a page from elsewhere', async () => {
    const { url } = await guarded()
    const eye = new Client(url, { authorization: `Bearer ${read}`, origin: 'https://elsewhere.example' })
    for (const path of ['/livez', '/runs', '/metrics', '/runs/nobody-1', '/nothing', '/runs/%zz']) {
      const { headers } = await eye.call('GET', path)
      expect(Object.fromEntries(headers), path).toMatchObject({
        'cache-control': 'no-store',
        'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
        'x-content-type-options': 'nosniff',
      })
      expect(headers.get('access-control-allow-origin'), path).toBeNull()
      expect(headers.get('server') ?? headers.get('x-powered-by'), path).toBeNull()
    }
  })
})

describe('how often', () => {
  test('one token may ask: then 429, until the time that it says; others and the probes are served meanwhile', async () => {
    const { url } = await guarded()
    const answers = await burst(url, Array<string>(400).fill(read))
    expect(answers).toHaveLength(400)
    expect(answers.slice(0, 100).map(({ status }) => status)).toEqual(Array(100).fill(404))
    // On a slow machine more than the limit can come only with time.
    const refused = await until('the limit to be met', async () =>
      [...answers, ...(await burst(url, Array<string>(400).fill(read)))].find(({ status }) => status === 429),
    )
    expect(refused?.text).toMatch(/^retry-after: 1\r$/m)
    expect(refused?.text).toMatch(/^content-type: application\/problem\+json/m)
    expect(refused?.text).toContain('try again in 1 s')
    const ops = new Client(url, { authorization: `Bearer ${operate}` })
    expect((await ops.call('GET', '/runs')).status).toBe(200)
    expect((await new Client(url).call('GET', '/livez')).status).toBe(200)
    const eye = new Client(url, { authorization: `Bearer ${read}` })
    await until(
      'the caller to be served again',
      () => eye.call('GET', '/runs'),
      ({ status }) => status === 200,
    )
  })

  test('nobody is kept from stopping something', async () => {
    const { url } = await guarded()
    const ops = new Client(url, { authorization: `Bearer ${operate}` })
    const stop = async (id: number) =>
      (await ops.call('POST', `/runs/none-${id}/${id % 2 ? 'pause' : 'cancel'}`)).status
    const answers = await Promise.all(Array.from({ length: 400 }, (_, id) => stop(id)))
    expect(new Set(answers)).toEqual(new Set([404]))
  })

  test('wrong tokens may be tried: then nothing of that address is looked at for a while, the right one neither', async () => {
    const { url } = await guarded()
    const guesses = [...Array<string>(60).fill('correct-horse-batterz'), operate]
    const first = await burst(url, guesses)
    expect(first.slice(0, 30).map(({ status }) => status)).toEqual(Array(30).fill(401))
    const last = await until(
      'the right one to be refused',
      async () => (await burst(url, guesses)).at(-1),
      (answer) => answer?.status === 429,
    )
    expect(last?.text).toMatch(/^retry-after: [12]\r$/m)
    expect((await new Client(url).call('GET', '/livez')).status).toBe(200)
    const ops = new Client(url, { authorization: `Bearer ${operate}` })
    await until(
      'the address to be heard again',
      () => ops.call('GET', '/runs'),
      ({ status }) => status === 200,
    )
  })

  test('calls without any token are no guesses', async () => {
    const { url } = await guarded()
    for (let i = 0; i < 40; i += 1) expect((await new Client(url).call('GET', '/runs')).status).toBe(401)
    const ops = new Client(url, { authorization: `Bearer ${operate}` })
    expect((await ops.call('GET', '/runs')).status).toBe(200)
  })
})

/** The queue of this database's service, as somebody would open it who has got hold of it. */
async function stolenQueue(database: TestDatabase): Promise<Queue> {
  const instance = await database.value<string>('SELECT id FROM evenkeel.instance')
  const redisUrl = inject('redisUrl')
  const prefix = `{evenkeel-${instance}}`
  const queue = redisUrl
    ? new Queue('tickets', { prefix, connection: { url: redisUrl } })
    : new Queue(
        'tickets',
        { prefix, connection: { connectionString: database.url, schema: 'evenkeel_queue' } },
        createPostgresBackend,
      )
  onTestFinished(() => queue.close())
  return queue as Queue
}

test(`whoever has the queue can waste time, and write nothing (${queueKind} queue)`, async () => {
  const rows = 20_000
  const database = await createDatabase()
  const client = await startInProcess(database, await createItems(database, rows))
  const paused = await client.start('touch')
  await client.call('POST', `/runs/${paused}/pause`)
  const done = await countDone(database)
  const leasesOfPaused = () =>
    database.value<string>('SELECT sum(epoch) FROM evenkeel.ranges WHERE run_id = $1', [paused])
  const leased = await leasesOfPaused()
  const byTouch = 'SELECT count(*)::int FROM items WHERE label IS NOT NULL'
  const id = await client.start('count', { options: { maxRowsPerSecond: 4000 } })
  await client.reaches(id, ['running'])
  const queue = await stolenQueue(database)
  const data: unknown[] = [
    null,
    'x',
    7,
    [],
    {},
    { runId: null, ordinal: null },
    { runId: { toString: 'x' }, ordinal: {} },
    { runId: id },
    { runId: id, ordinal: '0' },
    { runId: id, ordinal: -1 },
    { runId: id, ordinal: 1e99 },
    { runId: id, ordinal: 0.5 },
    { runId: id, ordinal: 2 ** 31 },
    { runId: "'; DROP TABLE items; --", ordinal: 0 },
    { runId: 'a\u0000b', ordinal: 0 },
    { runId: 'x'.repeat(1_000_000), ordinal: 0 },
    ...[0, 1, 2, 3].flatMap((ordinal) => [
      { runId: id, ordinal },
      { runId: paused, ordinal },
    ]),
  ]
  // Postgres, where the queue is on it, does not even keep some of them.
  const refused: string[] = []
  const forge = (name: string, given: unknown, opts = {}) =>
    queue
      .add(name, given, { removeOnComplete: true, removeOnFail: true, ...opts })
      .catch((e: Error) => refused.push(e.message))
  for (const given of data) await forge('slice', given)
  await forge('slice', { runId: id, ordinal: 0 }, { jobId: 'constructor' })
  // A ticket that is or was a right one, out twice and thrice.
  const tickets = await database.query<{ ordinal: number; ticket: string }>(
    'SELECT ordinal, ticket FROM evenkeel.ranges WHERE run_id = $1 AND ticket IS NOT NULL',
    [id],
  )
  for (const { ordinal, ticket } of tickets)
    for (const delay of [0, 0, 500]) await forge('slice', { runId: id, ordinal }, { jobId: ticket, delay })
  expect(refused.length).toBeLessThan(4)
  await until(
    'the forged tickets to be used up',
    () => queue.getJobCounts('waiting', 'delayed', 'active', 'failed'),
    (counts) => Object.values(counts).reduce((sum, count) => sum + count, 0) <= 8,
  )
  expect((await client.run(paused)).status).toBe('paused')
  expect(await database.value(byTouch)).toBe(done)
  expect(await leasesOfPaused()).toBe(leased)
  await client.reaches(id, ['succeeded'])
  const notOnce = 'SELECT count(*)::int FROM items WHERE touched - (label IS NOT NULL)::int <> 1'
  expect([await database.value(notOnce), await database.value(byTouch)]).toEqual([0, done])
})
