import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { type ApiClient, bodyOf, createClient } from '../../src/client/client.ts'
import { ApiError } from '../../src/client/error.ts'
import { dryRun, getRun, startRun } from '../../src/client/runs.ts'

type Answering = (request: IncomingMessage, response: ServerResponse) => void

async function serve(answer: Answering): Promise<string> {
  const server = createServer(answer)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

async function failureOf(call: (client: ApiClient) => Promise<unknown>, answer: Answering): Promise<unknown> {
  const client = createClient({ url: await serve(answer) })
  return call(client).then(
    () => expect.unreachable('it was answered well'),
    (error: unknown) => error,
  )
}

test('a call carries its token, its path with what is special in it, and its body', async () => {
  const seen: Array<[string | undefined, string | undefined, string | undefined, string]> = []
  const url = await serve((request, response) => {
    let body = ''
    request.on('data', (chunk) => {
      body += chunk
    })
    request.on('end', () => {
      seen.push([request.method, request.url, request.headers.authorization, body])
      response.end('{"id": "a-1"}')
    })
  })
  const client = createClient({ url: `${url}/`, token: 'secret' })
  expect(await startRun(client, { job: 'a' })).toEqual({ id: 'a-1' })
  await getRun(client, 'a/1?')
  await bodyOf(client.POST('/runs/{id}/pause', { params: { path: { id: 'a-1' } } }))
  expect(seen).toEqual([
    ['POST', '/runs', 'Bearer secret', '{"job":"a"}'],
    ['GET', '/runs/a%2F1%3F', 'Bearer secret', ''],
    ['POST', '/runs/a-1/pause', 'Bearer secret', ''],
  ])
})

test('an answer that is no success is thrown with the details of the problem', async () => {
  const errors = [{ path: 'body/job', message: 'is missing' }]
  const detail = 'The request is invalid.'
  const error = await failureOf(
    (client) => getRun(client, 'a-1'),
    (_request, response) => {
      response.writeHead(400, { 'content-type': 'application/problem+json' })
      response.end(JSON.stringify({ type: 'about:blank', title: 'Bad request', status: 400, detail, errors }))
    },
  )
  expect(error).toBeInstanceOf(ApiError)
  expect(error).toMatchObject({
    status: 400,
    detail,
    errors,
    message: '/runs/a-1 was answered with 400: The request is invalid.',
  })
})

test('an error page of something else is told by its status', async () => {
  const error = await failureOf(
    (client) => getRun(client, 'a-1'),
    (_request, response) => response.writeHead(502).end('<html>'),
  )
  expect(error).toMatchObject({ status: 502, detail: 'Bad Gateway', errors: [] })
})

test('a dry run asks for one, and takes no run for it', async () => {
  let asked = ''
  const error = await failureOf(
    (client) => dryRun(client, { job: 'a' }),
    (request, response) => {
      request.on('data', (chunk) => {
        asked += chunk
      })
      request.on('end', () => response.end('{"id": "a-1"}'))
    },
  )
  expect(JSON.parse(asked)).toEqual({ job: 'a', dryRun: true })
  expect(error).toMatchObject({ message: expect.stringContaining('answered the dry run with a run') })
})

test('a call ends when its time is over, and when all are ended', async () => {
  const url = await serve(() => undefined)
  await expect(getRun(createClient({ url, timeoutMs: 20 }), 'a-1')).rejects.toThrow('timeout')
  const all = new AbortController()
  const call = getRun(createClient({ url, signal: all.signal }), 'a-1')
  all.abort(new Error('that is all'))
  await expect(call).rejects.toThrow('that is all')
})
