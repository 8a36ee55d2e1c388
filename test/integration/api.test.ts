import { request } from 'node:http'
import { describe, expect, onTestFinished, test } from 'vitest'
import type { Run } from '../../src/client/openapi.ts'
import { createDatabase } from '../support/database.ts'
import { createItems } from '../support/items.ts'
import { startPostgres } from '../support/postgres.ts'
import { Client, jobSource, jobsFolder, startInProcess } from '../support/service.ts'
import { until } from '../support/until.ts'

interface Problem {
  readonly type: string
  readonly title: string
  readonly status: number
  readonly detail: string
  readonly [extension: string]: unknown
}

const operate = 'correct-horse-battery'
const read = 'only-looking-around'

function expectProblem(
  answer: { status: number; headers: Headers; body: Problem },
  status: number,
  words: string,
): void {
  expect(answer.headers.get('content-type')).toContain('application/problem+json')
  expect([answer.status, answer.body.status]).toEqual([status, status])
  expect(answer.body.detail).toContain(words)
  expect(answer.body.title).not.toBe('')
}

describe('errors are problem+json that say what to do', () => {
  test('unknown routes, runs and jobs; bodies that are broken, too large, of another type or shape', async () => {
    const database = await createDatabase()
    const client = await startInProcess(database, await createItems(database, 10), { ROLE: 'api' })
    const post = async (body: string, type: string) => {
      const response = await fetch(`${client.url}/runs`, { method: 'POST', body, headers: { 'content-type': type } })
      return { status: response.status, headers: response.headers, body: (await response.json()) as Problem }
    }
    expectProblem(await client.call('GET', '/nothing'), 404, '/openapi.json')
    expectProblem(await client.call('GET', '/runs/nobody-1'), 404, 'nobody-1')
    expectProblem(await client.call('POST', '/runs/nobody-1/pause'), 404, 'nobody-1')
    expectProblem(await client.call('POST', '/runs', { job: 'nothing' }), 404, 'count, touch')
    expectProblem(await client.call('POST', '/runs', { jobs: 'touch' }), 400, 'job')
    expectProblem(
      await client.call('POST', '/runs', { job: 'touch', options: { batchSize: { min: 9, max: 2 } } }),
      400,
      'batchSize',
    )
    expectProblem(await client.call('POST', '/runs', { job: 'touch', options: { speed: 9 } }), 400, 'speed')
    expectProblem(await client.call('GET', '/runs?limit=0'), 400, 'limit')
    expectProblem(await post('{"job": ', 'application/json'), 400, 'JSON')
    expectProblem(await post('job=touch', 'application/x-www-form-urlencoded'), 415, 'content-type: application/json')
    expectProblem(await post(JSON.stringify({ job: 'x'.repeat(70_000) }), 'application/json'), 413, 'large')
    expectProblem(await client.call('GET', '/runs/a%00b'), 400, 'cannot store a character')
    expectProblem(
      await client.call('POST', '/runs', { job: 'touch' }, { 'idempotency-key': 'x'.repeat(300) }),
      400,
      'idempotency-key',
    )
    const id = await client.start('touch')
    expectProblem(await client.call('POST', `/runs/${id}/resume`, { reason: 'a\u0000b' }), 422, 'NUL')
    expectProblem(await client.call('POST', `/runs/${id}/resume`, { reason: 'a\ud800b' }), 422, 'surrogate')
    expectProblem(await client.call('GET', '/runs/%zz'), 400, '%zz')
    expect((await client.run(id)).status).toBe('queued')
    expectProblem(await client.call('POST', `/runs/${id}/resume`), 409, `Run ${id} is queued`)
    expectProblem(
      await client.call('PATCH', `/runs/${id}`, { batchSize: 10 }, { 'if-match': 'latest' }),
      422,
      'If-Match',
    )
  })

  test('a defect of ours is a 500 that tells nothing but where to look', async () => {
    const database = await createDatabase()
    const client = await startInProcess(database, await createItems(database, 10), { ROLE: 'api' })
    await database.query('ALTER TABLE evenkeel.runs RENAME TO runs_gone')
    const answer = await client.call<Problem>('GET', '/runs')
    expectProblem(answer, 500, 'The log has the details')
    expect(JSON.stringify(answer.body)).not.toContain('runs_gone')
    expect(JSON.stringify(answer.body)).not.toContain('relation')
  })

  test('a Postgres that is down is a 503, and the service is ready again once it is back', async () => {
    const postgres = await startPostgres()
    onTestFinished(() => postgres.stop())
    const client = await startInProcess(postgres, await jobsFolder({}), { ROLE: 'api' })
    const ready = { ready: true, database: 'ok', queue: 'ok' }
    expect((await client.call<unknown>('GET', '/readyz')).body).toMatchObject({ ready: true, database: 'ok' })
    await postgres.kill()
    const down = await client.call<Problem>('GET', '/readyz')
    expect(down.status).toBe(503)
    expect(down.body).toMatchObject({ ready: false, database: 'cannot be reached' })
    expect((await client.call('GET', '/livez')).status).toBe(200)
    expectProblem(await client.call('GET', '/runs'), 503, 'cannot be reached at the moment')
    await postgres.restart()
    const back = await until(
      'the service to be ready',
      () => client.call<unknown>('GET', '/readyz'),
      (answer) => answer.status === 200,
    )
    expect(back.body).toMatchObject({ ready: true, database: 'ok' })
    await until(
      'the queue to be back',
      () => client.call<unknown>('GET', '/readyz'),
      (answer) => JSON.stringify(answer.body) === JSON.stringify(ready),
    )
  })
})

describe('who may do what', () => {
  async function guarded() {
    const database = await createDatabase()
    const jobs = await createItems(database, 10)
    const { url } = await startInProcess(database, jobs, {
      ROLE: 'api',
      API_TOKENS: `ops:operate:${operate},eye:read:${read}`,
    })
    const as = (secret: string) => new Client(url, { authorization: `Bearer ${secret}` })
    return { nobody: new Client(url), eye: as(read), ops: as(operate), stranger: as('correct-horse-batterz') }
  }

  test('without a token, or with a wrong one, there is only liveness and readiness', async () => {
    const { nobody, stranger } = await guarded()
    for (const client of [nobody, stranger]) {
      for (const path of ['/runs', '/jobs', '/metrics', '/openapi.json', '/nothing']) {
        expectProblem(await client.call<Problem>('GET', path), 401, 'Authorization')
      }
      expect((await client.call('POST', '/runs', { job: 'touch' })).status).toBe(401)
      expect((await client.call('GET', '/livez')).status).toBe(200)
      expect((await client.call('GET', '/readyz')).status).toBe(200)
    }
  })

  test('a read token looks, an operate token acts, and the events say who', async () => {
    const { eye, ops } = await guarded()
    expect((await eye.call('GET', '/runs')).status).toBe(200)
    expectProblem(await eye.call<Problem>('POST', '/runs', { job: 'touch' }), 403, 'eye')
    const id = await ops.start('touch')
    expect((await eye.run(id)).createdBy).toBe('ops')
    for (const [method, path] of [
      ['POST', `/runs/${id}/pause`],
      ['PATCH', `/runs/${id}`],
      ['POST', '/pause'],
    ] as const) {
      expect((await eye.call(method, path, {})).status).toBe(403)
    }
    await ops.call('POST', `/runs/${id}/pause`, { reason: 'lunch' })
    const events = await eye.events(id)
    expect(events.map(({ actor, kind }) => [actor, kind])).toEqual([
      ['ops', 'created'],
      ['ops', 'pause'],
      ['ops', 'drained'],
    ])
    expect(events[1]).toMatchObject({ detail: { from: 'queued', to: 'pausing', reason: 'lunch' } })
  })

  test('without tokens, other names of this machine and pages from elsewhere are refused', async () => {
    const database = await createDatabase()
    const client = await startInProcess(database, await createItems(database, 10), { ROLE: 'api' })
    const ask = (headers: Record<string, string>) =>
      new Promise<number>((resolve, reject) => {
        request(`${client.url}/pause`, { method: 'POST', headers }, (response) => {
          response.resume()
          resolve(response.statusCode ?? 0)
        })
          .on('error', reject)
          .end()
      })
    expect(await ask({})).toBe(200)
    expect(await ask({ host: 'rebound.example' })).toBe(403)
    expect(await ask({ origin: 'https://elsewhere.example' })).toBe(403)
  })
})

describe('what one can look at', () => {
  test('jobs with their parameters as JSON Schema, and files that are broken', async () => {
    const database = await createDatabase()
    await createItems(database, 1)
    const jobs = await jobsFolder({
      'good.ts': jobSource({
        name: 'good',
        table: 'items',
        rest: "description: 'Does good', params: z.object({ days: z.int().default(3) }), set: ({ days }) => ({ label: sql`${days}::text` })",
      }),
      'bad.ts': "import { defineJob } from 'evenkeel'\n\nexport default defineJob({ name: 'Bad Name' })\n",
    })
    const client = await startInProcess(database, jobs, { ROLE: 'api' })
    const { body } = await client.call<{ jobs: Array<Record<string, unknown>>; broken: unknown[] }>('GET', '/jobs')
    expect(body.jobs).toHaveLength(1)
    expect(body.jobs[0]).toMatchObject({
      name: 'good',
      description: 'Does good',
      file: 'good.ts',
      params: { properties: { days: { default: 3 } } },
    })
    expect(body.broken).toEqual([{ file: 'bad.ts', line: 3, error: expect.stringContaining('name') }])
    expect((await client.call('GET', '/jobs/good')).body).toMatchObject({ name: 'good' })
  })

  test.each(['transform', 'refine'])(
    'parameters whose %s throws are refused in words, and the job is still listed',
    async (how) => {
      const database = await createDatabase()
      await createItems(database, 1)
      const jobs = await jobsFolder({
        'shop.ts': jobSource({
          name: 'shop',
          table: 'items',
          rest: `params: z.object({ shop: z.string().${how}((shop) => { throw new Error('no such shop: ' + shop) }) }), set: () => ({ label: sql\`'x'\` })`,
        }),
      })
      const client = await startInProcess(database, jobs, { ROLE: 'api' })
      for (const dryRun of [false, true]) {
        const { status, body } = await client.call<{ detail: string }>('POST', '/runs', {
          job: 'shop',
          params: { shop: 'corner' },
          dryRun,
        })
        expect(status, JSON.stringify(body)).toBe(422)
        expect(body.detail).toMatch(/params of job shop throw .*no such shop: corner/)
      }
      expect((await client.call<{ jobs: unknown[] }>('GET', '/jobs')).status).toBe(200)
      expect((await client.call<{ runs: unknown[] }>('GET', '/runs')).body.runs).toEqual([])
    },
  )

  test('runs newest first, by job and status, page by page', async () => {
    const database = await createDatabase()
    const client = await startInProcess(database, await createItems(database, 10), { ROLE: 'api' })
    const ids: string[] = []
    for (let i = 0; i < 5; i += 1) {
      ids.unshift(await client.start('touch'))
      await client.call('POST', `/runs/${ids[0]}/cancel`)
    }
    ids.unshift(await client.start('count'))
    interface Page {
      readonly runs: Run[]
      readonly next: string | null
    }
    const list = async (query: string) => (await client.call<Page>('GET', `/runs?${query}`)).body
    const first = await list('limit=4')
    const second = await list(`limit=4&before=${first.next}`)
    expect([...first.runs, ...second.runs].map((run) => run.id)).toEqual(ids)
    expect(second.next).toBeNull()
    expect((await list('job=count')).runs.map((run) => run.id)).toEqual([ids[0]])
    expect((await list('status=cancelled')).runs).toHaveLength(5)
  })

  test('the description of the API names every route that there is', async () => {
    const database = await createDatabase()
    const client = await startInProcess(database, await createItems(database, 10), { ROLE: 'api' })
    const { body } = await client.call<{ openapi: string; paths: Record<string, Record<string, unknown>> }>(
      'GET',
      '/openapi.json',
    )
    expect(body.openapi).toBe('3.1.0')
    const routes = Object.entries(body.paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => `${method} ${path}`),
    )
    expect(routes.sort()).toEqual([
      'delete /runs/{id}/overrides/{signal}',
      'get /jobs',
      'get /jobs/{name}',
      'get /livez',
      'get /pause',
      'get /readyz',
      'get /runs',
      'get /runs/{id}',
      'get /runs/{id}/events',
      'get /runs/{id}/quarantine',
      'get /runs/{id}/ranges',
      'patch /runs/{id}',
      'post /pause',
      'post /resume',
      'post /runs',
      'post /runs/{id}/cancel',
      'post /runs/{id}/overrides',
      'post /runs/{id}/pause',
      'post /runs/{id}/quarantine/discard',
      'post /runs/{id}/quarantine/retry',
      'post /runs/{id}/resume',
      'post /runs/{id}/retry',
    ])
    // Nothing that it points to is missing.
    const named = [...JSON.stringify(body).matchAll(/"\$ref":"#\/([^"]*)"/g)].map(([, path]) => String(path).split('/'))
    expect(named.length).toBeGreaterThan(0)
    for (const path of named)
      expect(
        path.reduce<unknown>((at, key) => (at as Record<string, unknown>)?.[key], body),
        path.join('/'),
      ).toBeDefined()
  })

  test('events in the order in which they happened, page by page', async () => {
    const database = await createDatabase()
    const client = await startInProcess(database, await createItems(database, 10), { ROLE: 'api' })
    const id = await client.start('touch')
    for (let i = 0; i < 6; i += 1) {
      await client.call('POST', `/runs/${id}/pause`)
      await client.call('POST', `/runs/${id}/resume`)
    }
    interface Page {
      readonly events: Array<{ id: string; kind: string }>
      readonly next: string | null
    }
    const kinds: string[] = []
    for (let next: string | null = '0'; next !== null; ) {
      const { body }: { body: Page } = await client.call<Page>('GET', `/runs/${id}/events?limit=4&after=${next}`)
      kinds.push(...body.events.map((event) => event.kind))
      next = body.next
    }
    expect(kinds).toEqual(['created', ...Array(6).fill(['pause', 'drained', 'resume']).flat()])
  })

  test('where each range stands', async () => {
    const database = await createDatabase()
    const jobs = await createItems(database, 20_000)
    const client = await startInProcess(database, jobs, { ROLE: 'api' })
    const id = await client.start('touch')
    // Planned for two workers, done by one: a free worker would split a range.
    await client.call('PATCH', `/runs/${id}`, { parallelism: 1 })
    await startInProcess(database, jobs, { ROLE: 'worker' })
    await client.reaches(id, ['succeeded'])
    const ranges = await client.ranges(id)
    expect(ranges.map((range) => range.phase)).toEqual([
      ...Array.from({ length: 4 }, () => 'keys'),
      'stragglers',
      ...Array.from({ length: 4 }, () => 'residual'),
      'pages',
    ])
    expect(ranges.filter((range) => range.phase !== 'stragglers').every((range) => range.done)).toBe(true)
    expect(ranges[3]).toMatchObject({ upper: ['20000'], cursor: ['20000'], partition: null })
    // Rows that match are looked for above the frozen bound as well.
    expect(ranges.at(-2)).toMatchObject({ upper: null, cursor: ['20000'] })
  })
})

test('however many ask for a run, the database is asked once, and then once for all who asked meanwhile', async () => {
  const database = await createDatabase()
  const client = await startInProcess(database, await createItems(database, 10), {
    ROLE: 'api',
    API_CALLS_PER_SECOND: '1000',
  })
  const id = await client.start('touch')
  const lock = await database.session()
  await lock.query('BEGIN')
  await lock.query('LOCK TABLE evenkeel.runs')
  const asking = () =>
    database.value<number>(
      `SELECT count(*)::int FROM pg_stat_activity
       WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%.runs WHERE id = $1'`,
    )
  const answers = Array.from({ length: 40 }, () => client.call('GET', `/runs/${id}`))
  await until('somebody to ask', asking)
  // What was sent after them is answered: by now all of them have been read.
  for (let i = 0; i < 20; i += 1) await client.call('GET', '/livez')
  const askedAtOnce = await asking()
  await lock.query('COMMIT')
  expect(askedAtOnce).toBe(1)
  expect(new Set((await Promise.all(answers)).map(({ status, body }) => `${status} ${body.id}`))).toEqual(
    new Set([`200 ${id}`]),
  )
})

test('who has changed a run sees it, among however many others who ask', async () => {
  const database = await createDatabase()
  const client = await startInProcess(database, await createItems(database, 10), {
    ROLE: 'api',
    API_CALLS_PER_SECOND: '10000',
  })
  const id = await client.start('touch')
  let left = false
  const others = Array.from({ length: 10 }, async () => {
    while (!left) await client.run(id)
  })
  for (let parallelism = 1; parallelism <= 8; parallelism += 1) {
    expect((await client.call('PATCH', `/runs/${id}`, { parallelism })).status).toBe(200)
    expect((await client.run(id)).options.parallelism).toBe(parallelism)
  }
  left = true
  await Promise.all(others)
})

test('everything can be paused and resumed at once', async () => {
  const database = await createDatabase()
  const client = await startInProcess(database, await createItems(database, 30_000))
  const touch = await client.start('touch', { options: { maxRowsPerSecond: 1000 } })
  const count = await client.start('count', { options: { maxRowsPerSecond: 1000 } })
  interface All {
    readonly runs: Run[]
  }
  const paused = (await client.call<All>('POST', '/pause', { reason: 'incident' })).body.runs
  expect(paused.map((run) => [run.id, run.status, run.reason])).toEqual([
    [touch, 'paused', 'incident'],
    [count, 'paused', 'incident'],
  ])
  const resumed = (await client.call<All>('POST', '/resume')).body.runs
  expect(resumed.map((run) => run.id)).toEqual([touch, count])
  await client.reaches(count, ['running'])
})

test('a worker shows its health and metrics, and nothing to act on', async () => {
  const database = await createDatabase()
  const client = await startInProcess(database, await createItems(database, 10), { ROLE: 'worker' })
  expect((await client.call('GET', '/livez')).status).toBe(200)
  expect((await client.call('GET', '/readyz')).status).toBe(200)
  expect((await client.call('GET', '/metrics')).status).toBe(200)
  expect((await client.call('POST', '/runs', { job: 'touch' })).status).toBe(404)
})
