import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createDatabase, type TestDatabase } from '../support/database.ts'
import { createItems } from '../support/items.ts'
import { exchange, type Reply, requestBytes } from '../support/raw-http.ts'
import { jobSource, startInProcess } from '../support/service.ts'
import { perCommit } from '../support/tier.ts'

const seed = Number(process.env.FUZZ_SEED ?? Math.floor(Math.random() * 2 ** 31))
const rounds = Number(process.env.FUZZ_ROUNDS ?? perCommit(12, { nightly: 40 }))
console.log(`fuzz: FUZZ_SEED=${seed} FUZZ_ROUNDS=${rounds}`)

const secretOf = (scope: string) => `secret-${scope}-${'x'.repeat(16)}`

interface Target {
  readonly url: string
  readonly database: TestDatabase
  readonly ended: string
  readonly live: string
  readonly routes: ReadonlyArray<{ readonly method: string; readonly path: string }>
}

async function prepare(): Promise<Target> {
  const database = await createDatabase()
  const jobs = await createItems(database, 10)
  const text = jobSource({
    name: 'text',
    table: 'items',
    rest: 'params: z.object({ text: z.string() }), set: ({ text }) => ({ label: sql`${text}` })',
  })
  await writeFile(join(jobs, 'text.ts'), text)
  const fussy = jobSource({
    name: 'fussy',
    table: 'items',
    rest: "params: z.object({ text: z.string().transform((text) => { throw new Error(text) }) }), set: () => ({ label: sql`''` })",
  })
  await writeFile(join(jobs, 'fussy.ts'), fussy)
  const tokens = (['read', 'operate'] as const).map((scope) => `${scope}:${scope}:${secretOf(scope)}`)
  const { url } = await startInProcess(database, jobs, { ROLE: 'api', API_TOKENS: tokens.join(',') })
  const call = async (method: string, path: string, body?: object) => {
    const headers = bearer('operate')
    const json: Array<[string, string]> = body ? [['content-type', 'application/json']] : []
    const reply = await exchange(
      url,
      requestBytes(method, path, [...headers, ...json], body ? JSON.stringify(body) : ''),
    )
    return JSON.parse(reply.body)
  }
  const { id: ended } = await call('POST', '/runs', { job: 'touch' })
  await call('POST', `/runs/${ended}/cancel`)
  const { id: live } = await call('POST', '/runs', { job: 'count' })
  const { paths } = await call('GET', '/openapi.json')
  const described = Object.entries(paths as Record<string, object>).flatMap(([path, methods]) =>
    Object.keys(methods).map((method) => ({ method: method.toUpperCase(), path })),
  )
  const others = [
    { method: 'GET', path: '/metrics' },
    { method: 'GET', path: '/openapi.json' },
    { method: 'DELETE', path: '/runs/{id}' },
    { method: 'PUT', path: '/nothing/{id}/at/all' },
    ...['HEAD', 'OPTIONS', 'TRACE', 'PROPFIND'].map((method) => ({ method, path: '/runs/{id}' })),
  ]
  return { url, database, ended, live, routes: [...described, ...others] }
}

function bearer(scope: 'read' | 'operate'): Array<[string, string]> {
  return [['authorization', `Bearer ${secretOf(scope)}`]]
}

/** Every row of every table of evenkeel's, of its queue's, and of the user's; but for the probes, by which the queue is watched. */
async function stateOf(database: TestDatabase): Promise<Record<string, string>> {
  const tables = await database.query<{ name: string }>(
    "SELECT format('%I.%I', schemaname, tablename) AS name FROM pg_tables WHERE schemaname IN ('evenkeel', 'evenkeel_queue', 'public') ORDER BY 1",
  )
  const rows = await Promise.all(
    tables.map(({ name }) =>
      database.value<string>(
        `SELECT string_agg(t::text, chr(10) ORDER BY t::text) FROM ${name} t WHERE t::text NOT LIKE '%probe.%'`,
      ),
    ),
  )
  return Object.fromEntries(tables.map(({ name }, index) => [name, rows[index] ?? '']))
}

/** What no answer may hold, and no refusal tell. */
function expectHarmless(reply: Reply, sent: string): void {
  const about = `${sent.slice(0, 500)} …\n was answered with\n${reply.text.slice(0, 1500)}`
  expect(reply.text, about).not.toMatch(/HTTP\/1\.1 5\d\d /)
  expect(reply.text, about).not.toMatch(/secret-(read|operate)-x/)
  // Whoever speaks HTTP is answered in it.
  expect(reply.status, about).toBeGreaterThan(0)
  if (reply.status < 400) return
  expect(reply.text, about).not.toMatch(/\.[mc]?[jt]s:\d+:\d+|node_modules|node:internal/)
  expect(reply.text, about).not.toContain(process.cwd())
  expect(reply.text, about).not.toMatch(/\b(SELECT|INSERT INTO|RETURNING|LIMIT \$)\b|syntax error at|relation "/)
  expect(reply.headers.get('content-type'), about).toContain('application/problem+json')
  expect(reply.headers.get('x-content-type-options'), about).toBe('nosniff')
  if (!sent.startsWith('HEAD ')) expect(JSON.parse(reply.body), about).toMatchObject({ status: reply.status })
}

const hostileText = fc.oneof(
  fc.constantFrom(
    "'; DROP TABLE items; --",
    "1' OR '1'='1",
    '"; DROP SCHEMA evenkeel CASCADE; --',
    '$1',
    '%s%n%x',
    '\\',
    "\\'; --",
    '../../../../etc/passwd',
    '..%2f..%2fetc%2fpasswd',
    '\u0000',
    'a\u0000b',
    '\ud800',
    '\u202e\u0301\u{1f480}',
    'ﬃ',
    '__proto__',
    'constructor',
    '-1',
    '0',
    '1e400',
    '9'.repeat(40),
    '-9223372036854775809',
    'NaN',
    'null',
    '{}',
    '[]',
    '*',
    'touch',
    'replica-lag',
    'schedule',
    'x'.repeat(300),
    'x'.repeat(7000),
  ),
  fc.string({ unit: 'grapheme', maxLength: 60 }),
  fc.string({ unit: 'binary', maxLength: 60 }),
)

const hostileValue: fc.Arbitrary<unknown> = fc.oneof(
  hostileText,
  fc.double(),
  fc.constantFrom(0, -1, 1e308, 2 ** 53, true, false, null),
  fc.jsonValue({ maxDepth: 6 }),
)

/** Words of the API's own, so that what is below them is reached. */
const words = [
  'job',
  'params',
  'options',
  'dryRun',
  'databases',
  'reason',
  'acceptJobChange',
  'signal',
  'seconds',
  'batchSize',
  'parallelism',
  'maxLagSeconds',
  'maxRowsPerSecond',
  'targetBatchSeconds',
  'signals',
  'schedule',
  'cron',
  'timeZone',
  'min',
  'max',
  'rows',
  'keys',
  'all',
  'limit',
]
const hostileObject = fc.dictionary(fc.oneof(fc.constantFrom(...words), hostileText), hostileValue, { maxKeys: 6 })
const nested = fc
  .tuple(fc.integer({ min: 1, max: 30_000 }), fc.constantFrom('[]', '{"a":}', '{"params":}'))
  .map(([depth, brackets]) => `${brackets.slice(0, -1).repeat(depth)}1${brackets.slice(-1).repeat(depth)}`)
const poisoned = fc
  .tuple(fc.constantFrom('__proto__', 'constructor', 'prototype'), hostileValue)
  .map(
    ([key, value]) =>
      `{"job":"touch","${key}":{"prototype":{"dryRun":true},"dryRun":${JSON.stringify(value) ?? 'null'}}}`,
  )

/** Whatever it says, there is a word in it that no body has: nothing of it may be taken. */
const refusable = fc.oneof(
  { weight: 6, arbitrary: hostileObject.map((body) => JSON.stringify({ ...body, 'no such word': 1 })) },
  {
    weight: 1,
    arbitrary: fc
      .jsonValue()
      .filter((value) => value !== null)
      .map((value) => JSON.stringify([value])),
  },
  { weight: 1, arbitrary: nested },
  { weight: 1, arbitrary: poisoned },
  { weight: 1, arbitrary: fc.string({ unit: 'binary', minLength: 1, maxLength: 200 }).map((text) => `{${text}`) },
  { weight: 1, arbitrary: fc.constant(`{"job":"${'x'.repeat(80_000)}"}`) },
)
const acceptable = fc.oneof(
  hostileObject.map((body) => JSON.stringify(body)),
  refusable,
)

const contentType = fc.oneof(
  { weight: 8, arbitrary: fc.constant('application/json') },
  {
    weight: 1,
    arbitrary: fc.constantFrom(
      'text/plain',
      'application/json; charset=utf-16',
      'application/json, text/html',
      'multipart/form-data; boundary=x',
      'application/x-www-form-urlencoded',
      'a'.repeat(2000),
      ';;;',
    ),
  },
)

function encoded(text: string): string {
  return [...text]
    .map((character) => (/^[\ud800-\udfff]$/.test(character) ? '%ED%A0%80' : encodeURIComponent(character)))
    .join('')
}

const query = fc
  .array(
    fc.tuple(
      fc.constantFrom('limit', 'after', 'before', 'job', 'status', 'database', 'all', '__proto__', 'limit[]'),
      hostileText,
    ),
    { maxLength: 4 },
  )
  .map((pairs) => (pairs.length === 0 ? '' : `?${pairs.map(([name, value]) => `${name}=${encoded(value)}`).join('&')}`))

/** What a header can carry at all; the rest is for the tests of broken HTTP. */
const headerText = hostileText.map((text) => text.replace(/[^\x20-\x7e\x80-\xff]/g, '?'))
const headers = fc.array(
  fc.tuple(
    fc.constantFrom(
      'if-match',
      'idempotency-key',
      'x-forwarded-for',
      'x-http-method-override',
      'accept',
      'origin',
      'expect',
      'cookie',
      'content-encoding',
      'accept-version',
      'x-request-id',
    ),
    headerText,
  ),
  { maxLength: 4 },
)

const pathOf = (path: string, id: string, other: string) =>
  path.replace('{id}', id).replace(/\{[^}]+\}/g, encoded(other))

describe('hostile input', () => {
  test('on every route: no 500, no leak, no change of state', { timeout: 400_000 }, async () => {
    const { url, database, ended, live, routes } = await prepare()
    const before = await stateOf(database)
    const met = new Set<string>()
    const shoot = async (
      scope: 'read' | 'operate',
      method: string,
      path: string,
      rest: {
        headers: ReadonlyArray<readonly [string, string]>
        type: string
        body: string
      },
    ) => {
      const body: Array<readonly [string, string]> = method === 'GET' ? [] : [['content-type', rest.type]]
      const bytes = requestBytes(method, path, [...bearer(scope), ...body, ...rest.headers], rest.body)
      const reply = await exchange(url, bytes)
      expectHarmless(reply, bytes.toString('latin1'))
      met.add(`${method} ${reply.status}`)
      return reply.status
    }
    for (const { method, path } of routes) {
      // This one does what it is for, whatever comes along.
      const isBrake = path === '/pause'
      // A live run may be looked at; what it is told, it could do.
      const safe = method === 'GET' || method === 'HEAD'
      // What is right for one run is refused for a run that has ended; what is right for all of them would be done.
      const body = path.includes('{id}') ? acceptable : refusable
      const id = fc.oneof(fc.constantFrom(ended, ...(safe ? [live] : [])), hostileText.map(encoded))
      const request = fc.record({ id, other: hostileText, query, headers, type: contentType, body })
      if (!isBrake)
        await fc.assert(
          fc.asyncProperty(request, async ({ id, other, query, ...rest }) => {
            await shoot('operate', method, pathOf(path, id, other) + query, rest)
          }),
          { seed, numRuns: rounds },
        )
      if (safe) continue
      // Who may only read is refused whatever he says, also of a run that lives and in words that are right.
      const right = fc.record({
        id: fc.constantFrom(live, ended),
        other: fc.constantFrom('replica-lag', 'schedule'),
        headers,
        type: fc.constant('application/json'),
        body: fc.oneof(acceptable, fc.constant(''), fc.constant('{"job":"touch"}'), fc.constant('{}')),
      })
      await fc.assert(
        fc.asyncProperty(right, async ({ id, other, ...rest }) => {
          expect([400, 403, 404]).toContain(await shoot('read', method, pathOf(path, id, other), rest))
        }),
        { seed, numRuns: Math.ceil(rounds / 3) },
      )
    }
    expect(await stateOf(database)).toEqual(before)
    // A fuzz that is turned away at the door tests the door.
    expect([...met]).toEqual(expect.arrayContaining(['GET 200', 'GET 404', 'POST 400', 'POST 403', 'PATCH 400']))
    expect([...met].join()).not.toContain('429')
    const alive = await exchange(url, requestBytes('GET', `/runs/${live}`, bearer('read')))
    expect(JSON.parse(alive.body).status).toBe('queued')
  })

  test('on the brake: it takes effect all the same', { timeout: 400_000 }, async () => {
    const { url } = await prepare()
    const request = fc.record({ query, headers, type: contentType, body: acceptable })
    await fc.assert(
      fc.asyncProperty(request, async ({ query, headers, type, body }) => {
        const more = [...bearer('operate'), ['content-type', type] as const, ...headers]
        const bytes = requestBytes('POST', `/pause${query}`, more, body)
        const reply = await exchange(url, bytes)
        expectHarmless(reply, bytes.toString('latin1'))
        // Only what is too much to be taken in at all has no effect.
        expect(reply.status, reply.text).toBe(body.length > 64 * 1024 ? 413 : 200)
        await exchange(url, requestBytes('POST', '/resume', bearer('operate')))
      }),
      { seed, numRuns: 4 * rounds },
    )
  })

  test('where any text may stand: it is kept as it is, or refused in words', { timeout: 400_000 }, async () => {
    const { url, database, ended, live } = await prepare()
    const send = async (
      method: string,
      path: string,
      body?: object,
      more: ReadonlyArray<readonly [string, string]> = [],
    ) => {
      const json: Array<readonly [string, string]> = body ? [['content-type', 'application/json']] : []
      const sent = body ? JSON.stringify(body) : ''
      const bytes = requestBytes(method, path, [...bearer('operate'), ...json, ...more], sent)
      const reply = await exchange(url, bytes)
      expectHarmless(reply, bytes.toString('utf8'))
      return reply
    }
    const refused = async (...request: Parameters<typeof send>) => {
      const { status, text } = await send(...request)
      expect([400, 404, 409, 412, 422], `${request[0]} ${request[1]} ${JSON.stringify(request[2])}: ${text}`).toContain(
        status,
      )
    }
    const before = await stateOf(database)
    const text = fc.record({ text: hostileText, other: hostileText, key: headerText })
    await fc.assert(
      fc.asyncProperty(text, async ({ text, other, key }) => {
        const more: Array<[string, string]> = [['idempotency-key', key]]
        if (!['touch', 'count', 'text', 'fussy'].includes(text)) await refused('POST', '/runs', { job: text }, more)
        await refused('POST', '/runs', { job: 'touch', databases: [text, other] }, more)
        await refused('POST', '/runs', { job: 'fussy', params: { text } }, more)
        await refused('POST', '/runs', { job: 'touch', params: { [text]: other } }, more)
        const schedule = { cron: text, timeZone: other }
        for (const timeZone of [other, 'UTC']) {
          const options = { schedule: { cron: text, timeZone } }
          const { status } = await send('POST', '/runs', { job: 'touch', options, dryRun: true }, more)
          expect([200, 400, 422]).toContain(status)
        }
        await refused('PATCH', `/runs/${ended}`, { schedule })
        for (const event of ['pause', 'resume', 'retry'])
          await refused('POST', `/runs/${ended}/${event}`, { reason: text })
        await refused('POST', `/runs/${ended}/overrides`, { signal: 'commit-latency', reason: text, seconds: 60 })
        for (const id of [ended, live]) {
          await refused('POST', `/runs/${id}/quarantine/retry`, { ids: [text, other], reason: other })
          await refused('POST', `/runs/${id}/quarantine/discard`, { ids: [text], reason: other })
          const { status } = await send('GET', `/runs/${id}/quarantine?after=${encoded(text)}`)
          expect([200, 400, 422]).toContain(status)
        }
        await refused('PATCH', `/runs/${live}`, {
          maxRowsPerSecond: 1,
          schedule: { cron: `${text} x`, timeZone: 'UTC' },
        })
      }),
      { seed, numRuns: rounds },
    )
    expect(await stateOf(database)).toEqual(before)

    // What is right is done, on runs that may change.
    const storable = (value: string) => !value.includes('\0') && !/\p{Surrogate}/u.test(value)
    const reasons = async (id: string) => {
      const { body } = await send('GET', `/runs/${id}/events?limit=1000`)
      return JSON.parse(body).events.map(({ detail }: { detail: { reason?: string } }) => detail.reason)
    }
    await fc.assert(
      fc.asyncProperty(text, async ({ text, other, key }) => {
        const begun = await send('POST', '/runs', { job: 'touch' }, [['idempotency-key', key]])
        if (begun.status >= 400) expect(key.trim() === '' || key.length > 255, begun.text).toBe(true)
        const { id } = JSON.parse((begun.status >= 400 ? await send('POST', '/runs', { job: 'touch' }) : begun).body)
        for (const event of ['pause', 'resume']) {
          const { status, text: answer } = await send('POST', `/runs/${id}/${event}`, { reason: text })
          const fits = storable(text) && text.length <= 1000
          // A brake takes what it can of it.
          expect(status, answer).toBe(fits || event === 'pause' ? 200 : storable(text) ? 400 : 422)
          if (fits && text !== '') expect(await reasons(id)).toContain(text)
        }
        const { status } = await send('POST', `/runs/${id}/overrides`, {
          signal: 'schedule',
          reason: other,
          seconds: 60,
        })
        expect([200, 400, 409, 422]).toContain(status)
        await send('PATCH', `/runs/${id}`, { schedule: { cron: text, timeZone: other } })
        expect(JSON.parse((await send('GET', `/runs/${id}`)).body).id).toBe(id)
        expect(
          (await send('POST', `/runs/${id}/cancel`, storable(other) ? { reason: other.slice(0, 500) } : {})).status,
        ).toBe(200)
        // Under this key nothing else begins.
        await database.query('UPDATE evenkeel.runs SET idempotency_key = NULL WHERE id = $1', [id])
      }),
      // What has gone wrong leaves a run behind, which shrinking would meet.
      { seed, numRuns: Math.ceil(rounds / 2), endOnFailure: true },
    )
    const after = await stateOf(database)
    for (const table of ['public.items', 'evenkeel.instance', 'evenkeel.quarantine'])
      expect(after[table]).toBe(before[table])
  })

  test('as parameters of a job: values for Postgres, never a part of a statement', async () => {
    const { url, database } = await prepare()
    const before = await stateOf(database)
    await fc.assert(
      fc.asyncProperty(hostileText, async (text) => {
        const body = JSON.stringify({ job: 'text', params: { text }, dryRun: true })
        const bytes = requestBytes('POST', '/runs', [...bearer('operate'), ['content-type', 'application/json']], body)
        const reply = await exchange(url, bytes)
        expectHarmless(reply, bytes.toString('utf8'))
        const storable = !text.includes('\0') && !/\p{Surrogate}/u.test(text)
        expect(reply.status, reply.text).toBe(storable ? 200 : 422)
        if (!storable) return
        const { label } = JSON.parse(reply.body).samples[0].after
        // A long one is cut, and how long it is is told.
        const [, shown, length] = /^(.*)… \((\d+) characters\)$/s.exec(label) ?? []
        if (shown === undefined || label === text) expect(label).toBe(text)
        else expect([text.startsWith(shown), Number(length)]).toEqual([true, [...text].length])
      }),
      { seed, numRuns: rounds },
    )
    expect(await stateOf(database)).toEqual(before)
  })

  test('that is not HTTP, or too much of it', async () => {
    const { url, database, ended, live } = await prepare()
    const before = await stateOf(database)
    const token = bearer('operate')
    const json: Array<[string, string]> = [...token, ['content-type', 'application/json']]
    const get = requestBytes('GET', `/runs/${ended}`, [...token, ['connection', 'keep-alive']])
    const floods: ReadonlyArray<readonly [string, number, Buffer | string]> = [
      ['headers without end', 431, requestBytes('GET', '/runs', [...token, ['x', 'y'.repeat(20_000)]])],
      [
        'many headers',
        431,
        requestBytes(
          'GET',
          '/runs',
          Array.from({ length: 3000 }, (_, i) => [`x-${i}`, 'y']),
        ),
      ],
      ['a path without end', 431, requestBytes('GET', `/runs/${'x'.repeat(20_000)}`, token)],
      ['a parameter without end', 414, requestBytes('GET', `/runs/${'x'.repeat(10_000)}`, token)],
      [
        'two lengths',
        400,
        requestBytes('POST', '/pause', [...token, ['content-length', '3'], ['content-length', '4']], '{}'),
      ],
      [
        'a length and chunks',
        400,
        requestBytes(
          'POST',
          '/pause',
          [...token, ['content-length', '2'], ['transfer-encoding', 'chunked']],
          '2\r\n{}\r\n0\r\n\r\n',
        ),
      ],
      [
        'a body longer than it says',
        400,
        Buffer.concat([
          requestBytes('GET', '/livez', [
            ['connection', 'keep-alive'],
            ['content-length', '0'],
          ]),
          Buffer.from('rubbish\r\n\r\n'),
        ]),
      ],
      ['a body that never comes', 408, requestBytes('POST', '/pause', [...json, ['content-length', '100']], '{')],
      ['headers that never end', 408, get.subarray(0, -5)],
      ['a version that there is not', 400, 'GET /runs HTTP/9.9\r\n\r\n'],
      ['TLS', 400, Buffer.from('160301020001000100', 'hex')],
      ['a bare line feed', 400, `GET /runs HTTP/1.1\nhost: x\n\n`],
    ]
    for (const [what, status, bytes] of floods) {
      const reply = await exchange(url, bytes).catch((error: Error) => expect.fail(`${what}: ${error.message}`))
      expectHarmless({ ...reply, status: 200 }, what)
      const statuses = [...reply.text.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map(([, found]) => Number(found))
      expect(statuses.at(-1), `${what}: ${reply.text}`).toBe(status)
    }
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 300 }), fc.boolean(), async (garbage, behind) => {
        // No method begins with this byte: what follows a whole request is broken at once.
        const bytes = Buffer.from([...(behind ? [...get, ...get, 1] : []), ...garbage])
        const { text } = await exchange(url, bytes, { hangUp: !behind })
        expect(text).not.toMatch(/HTTP\/1\.1 5\d\d |secret-|node_modules|\.ts:\d/m)
      }),
      { seed, numRuns: rounds },
    )
    expect(await stateOf(database)).toEqual(before)
    const alive = await exchange(url, requestBytes('GET', `/runs/${live}`, bearer('read')))
    expect(alive.status).toBe(200)
  })
})
