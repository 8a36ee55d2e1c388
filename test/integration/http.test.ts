import { readFile } from 'node:fs/promises'
import { request } from 'node:http'
import { connect, type Socket } from 'node:net'
import { createConfig, lintFromString } from '@redocly/openapi-core'
import { describe, expect, onTestFinished, test } from 'vitest'
import { createDatabase } from '../support/database.ts'
import { createItems } from '../support/items.ts'
import { startPostgres } from '../support/postgres.ts'
import { Client, jobSource, jobsFolder, startInProcess } from '../support/service.ts'
import { until } from '../support/until.ts'

interface Answer {
  readonly status: number
  readonly detail: string
}

const json = { 'content-type': 'application/json' }

async function send(url: string, method: string, path: string, body?: string, headers: Record<string, string> = {}) {
  const response = await fetch(new URL(path, url), { method, headers, ...(body === undefined ? {} : { body }) })
  return { status: response.status, ...((await response.json()) as object) } as Answer & Record<string, unknown>
}

describe('a number that JavaScript cannot hold', () => {
  const source = jobSource({
    name: 'number',
    table: 'public.t',
    rest: "params: z.object({ id: z.coerce.bigint() }), where: ({ id }) => sql`id = ${id} AND mark IS NULL`, set: { mark: sql`'x'` }",
  })

  test('in the body of a start or a change is refused, with the way to write it; as a string it means its row', async () => {
    const database = await createDatabase()
    await database.query('CREATE TABLE t (id bigint PRIMARY KEY, mark text)')
    await database.query('INSERT INTO t SELECT 9007199254740990 + i FROM generate_series(1, 10) i')
    const client = await startInProcess(database, await jobsFolder({ 'number.ts': source }))
    const bodies = [
      '{"job":"number","params":{"id":9007199254740993}}',
      '{"job":"number","params":{"id":-9007199254740993}}',
      '{"job":"number","params":{"id":9007199254740993.0}}',
      '{"job":"number","params":{"id":[{"deep":123456789012345678901234567890}]}}',
      '{"job":"number","params":{"id":0.1000000000000000055511151231257827}}',
      '{"job":"number","params":{"id":1e400}}',
    ]
    for (const body of bodies)
      expect(await send(client.url, 'POST', '/runs', body, json), body).toMatchObject({
        status: 422,
        detail: expect.stringContaining('Send it as a string'),
      })
    const exact = await send(client.url, 'POST', '/runs', '{"job":"number","params":{"id":"9007199254740993"}}', json)
    expect(exact.status).toBe('queued')
    await client.reaches(String(exact.id), ['succeeded'])
    const change = `{"maxRowsPerSecond":10000000000000000001}`
    expect((await send(client.url, 'PATCH', `/runs/${exact.id}`, change, json)).detail).toContain(
      '10000000000000000001',
    )
    expect(await database.query('SELECT id FROM t WHERE mark IS NOT NULL')).toEqual([{ id: '9007199254740993' }])
  })

  test('in quotes, or in other spellings of a number that it can hold, is none of these', async () => {
    const database = await createDatabase()
    const client = await startInProcess(database, await createItems(database, 10), { ROLE: 'api' })
    const body = '{"job":"touch","options":{"batchSize":{"min":1e2,"max":1.0e3},"maxRowsPerSecond":0.10},"params":{}}'
    expect((await send(client.url, 'POST', '/runs', body, json)).status).toBe('queued')
  })
})

describe('a body that is not there', () => {
  test('keeps no brake from working, whatever its content type', async () => {
    const database = await createDatabase()
    const client = await startInProcess(database, await createItems(database, 10), { ROLE: 'api' })
    const id = await client.start('touch')
    const form = { 'content-type': 'application/x-www-form-urlencoded' }
    for (const headers of [json, form, { 'content-type': 'text/plain' }, {}]) {
      for (const path of [`/runs/${id}/pause`, `/runs/${id}/resume`, '/pause', '/resume']) {
        const reply = await fetch(`${client.url}${path}`, { method: 'POST', headers })
        expect(reply.status, `${path} ${JSON.stringify(headers)}`).toBe(200)
      }
    }
    expect((await fetch(`${client.url}/runs/${id}/cancel`, { method: 'POST', headers: json, body: '' })).status).toBe(
      200,
    )
  })

  test('is asked for where the call needs one, by its keys', async () => {
    const database = await createDatabase()
    const client = await startInProcess(database, await createItems(database, 10), { ROLE: 'api' })
    const id = await client.start('touch')
    expect((await send(client.url, 'POST', '/runs', '', json)).detail).toContain('with keys of job, params')
    const discard = await send(client.url, 'POST', `/runs/${id}/quarantine/discard`, undefined, json)
    expect(discard.detail).toContain('a JSON object is needed, with keys of reason, ids')
  })
})

describe('a slip of the hand is answered with what was meant', () => {
  test('keys, types, headers and names', async () => {
    const database = await createDatabase()
    const client = await startInProcess(database, await createItems(database, 10), { ROLE: 'api' })
    const id = await client.start('touch')
    const post = (body: unknown, headers = json) => send(client.url, 'POST', '/runs', JSON.stringify(body), headers)
    const said = async (answer: Promise<Answer>) => (await answer).detail
    expect(await said(post({ job: 'touch', options: { batchsize: 100 } }))).toContain(
      'body/options: there is no key "batchsize": did you mean batchSize?',
    )
    expect(await said(post({ job: 'touch', options: { paralelism: 1 } }))).toContain('did you mean parallelism?')
    expect(await said(post({ job: 'touch', dryrun: true }))).toContain('did you mean dryRun?')
    expect(await said(post({ job: 'touch', options: { speed: 1 } }))).toContain('the keys are batchSize, parallelism')
    expect(await said(post({ job: 'touch', options: { batchSize: '100' } }))).toContain(
      'body/options/batchSize: a number of rows from 1 to 100000, or bounds',
    )
    expect(await said(post({ job: 'toch' }))).toBe('There is no job "toch". Did you mean touch?')
    expect(await said(post({ job: 'touch' }, { 'content-type': 'text/plain' }))).toContain(
      "curl: -H 'content-type: application/json'",
    )
    const patch = (body: unknown) => send(client.url, 'PATCH', `/runs/${id}`, JSON.stringify(body), json)
    expect(await said(patch({ options: { batchSize: 100 } }))).toContain('PATCH takes the options themselves')
    expect(await said(patch({}))).toContain('name at least one option to change')
    expect((await client.run(id)).version).toBe(1)
    await client.call('POST', `/runs/${id}/cancel`)
    expect(await said(send(client.url, 'POST', `/runs/${id}/pause`))).toBe(
      `Run ${id} is cancelled and cannot be paused. It has ended: start a new run instead.`,
    )
  })

  test('one bound of batchSize or targetBatchSeconds is enough, and the other stays as it was', async () => {
    const database = await createDatabase()
    const client = await startInProcess(database, await createItems(database, 10), { ROLE: 'api' })
    const id = await client.start('touch', { options: { batchSize: { max: 500 } } })
    const patch = (body: unknown) => client.call('PATCH', `/runs/${id}`, body)
    expect((await client.run(id)).options.batchSize).toEqual({ min: 50, max: 500 })
    expect((await patch({ batchSize: { min: 100 } })).body.options.batchSize).toEqual({ min: 100, max: 500 })
    expect((await patch({ targetBatchSeconds: { max: 0.1 } })).body.options.targetBatchSeconds).toEqual({
      min: 0.001,
      max: 0.1,
    })
    const contradiction = await client.call<Answer>('PATCH', `/runs/${id}`, { batchSize: { min: 600 } })
    expect([contradiction.status, contradiction.body.detail]).toEqual([
      422,
      'batchSize.min would be 600 and batchSize.max 500: give both bounds, the smaller one as min.',
    ])
  })
})

test('a body that is too large is read before it is refused, so that its sender gets the answer', async () => {
  const database = await createDatabase()
  const client = await startInProcess(database, await createItems(database, 10), { ROLE: 'api' })
  const body = Buffer.alloc(5_000_000, 'x')
  for (let time = 0; time < 10; time += 1) {
    const status = await new Promise<number | undefined>((resolve, reject) => {
      const sent = request(`${client.url}/runs`, { method: 'POST', headers: json }, (reply) => {
        reply.resume()
        resolve(reply.statusCode)
      })
      sent.on('error', reject)
      // In pieces, as clients send: with its length in advance every other time.
      if (time % 2 === 0) sent.setHeader('content-length', body.length)
      for (let at = 0; at < body.length; at += 500_000) sent.write(body.subarray(at, at + 500_000))
      sent.end()
    })
    expect(status).toBe(413)
  }
})

test('five hundred strangers who keep their connections open keep no operator from pausing', async () => {
  const database = await createDatabase()
  const secret = 'correct-horse-battery'
  const { url } = await startInProcess(database, await createItems(database, 10), {
    ROLE: 'api',
    API_TOKENS: `ops:operate:${secret}`,
  })
  const strangers: Socket[] = []
  onTestFinished(() => {
    for (const socket of strangers) socket.destroy()
  })
  const port = Number(new URL(url).port)
  let answered = 0
  for (let count = 0; count < 600; count += 1) {
    const socket = connect(port, '127.0.0.1')
    socket
      .on('error', () => undefined)
      .once('data', () => {
        answered += 1
      })
    // Every third of them sends half a request and no more.
    socket.write(count % 3 === 0 ? 'GET /livez HTTP/1.1\r\nhost: x\r\n' : 'GET /livez HTTP/1.1\r\nhost: x\r\n\r\n')
    strangers.push(socket)
  }
  await until('the strangers to be answered', () => answered >= 390)
  const ops = new Client(url, { authorization: `Bearer ${secret}` })
  for (let time = 0; time < 3; time += 1) expect((await ops.call('POST', '/pause')).status).toBe(200)
  // Those who came last are still connected: room was made by the ones that were idle for longest.
  expect(strangers.filter((socket) => !socket.destroyed && !socket.readableEnded).length).toBeGreaterThan(400)
})

describe('an answer that Postgres refused says what Postgres said', () => {
  test('a role out of connections, a read-only database, a full lock table', async () => {
    const postgres = await startPostgres({
      settings: { max_locks_per_transaction: '10', max_connections: '20', max_worker_processes: '2' },
    })
    onTestFinished(() => postgres.stop())
    const admin = new (await import('pg')).default.Pool({ connectionString: postgres.url, max: 1 })
    admin.on('error', () => undefined)
    onTestFinished(() => admin.end())
    await admin.query('CREATE TABLE items (id int PRIMARY KEY, n int)')
    const job = jobSource({ name: 'touch', table: 'public.items', rest: 'where: sql`n IS NULL`, set: { n: sql`1` }' })
    const client = await startInProcess(postgres, await jobsFolder({ 'touch.ts': job }), { ROLE: 'api' })
    const id = await client.start('touch')

    const [{ name }] = (await admin.query<{ name: string }>('SELECT current_database() AS name')).rows as [
      { name: string },
    ]
    await admin.query(`ALTER DATABASE "${name}" SET default_transaction_read_only = on`)
    await admin.query(
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'evenkeel control'",
    )
    const readOnly = await until(
      'the pause to be refused',
      () => client.call<Answer>('POST', `/runs/${id}/pause`),
      ({ body }) => body.detail?.includes('[25006]') === true,
    )
    expect(readOnly.status).toBe(503)
    expect(readOnly.body.detail).toContain('read-only transaction')
    expect(readOnly.body.detail).toContain('Nothing was changed')
  })
})

test('the description of the API has no error of Redocly lint, and names every call', async () => {
  const database = await createDatabase()
  const client = await startInProcess(database, await createItems(database, 10), { ROLE: 'api' })
  const text = (await client.call<object>('GET', '/openapi.json')).body
  expect(text).toEqual(JSON.parse(await readFile(new URL('../../src/client/openapi.json', import.meta.url), 'utf8')))
  const found = await lintFromString({
    source: JSON.stringify(text),
    config: await createConfig({ extends: ['recommended'] }),
  })
  expect(found.map(({ ruleId, message, location }) => `${ruleId}: ${message} ${location[0]?.pointer}`)).toEqual([])
})
