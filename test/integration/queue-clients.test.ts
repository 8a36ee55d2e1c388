import { Queue } from 'bullmq'
import type pg from 'pg'
import { expect, test } from 'vitest'
import { HeardClient, heardPostgresBackend } from '../../src/queue/backend.ts'
import { prepareQueue } from '../../src/queue/schema.ts'
import { createDatabase } from '../support/database.ts'
import { until } from '../support/until.ts'

test('an error that the server sends to a client whom nobody listens to any more does not end the process', async () => {
  const database = await createDatabase()
  const client = new HeardClient(database.url)
  await client.connect()
  client.removeAllListeners()
  let ended = false
  client.once('end', () => {
    ended = true
  })
  const { rows } = await client.query<{ pid: number }>('SELECT pg_backend_pid() AS pid')
  await database.query('SELECT pg_terminate_backend($1)', [rows[0]?.pid])
  await until('the client to be gone', () => ended)
})

test('every client of the queue on Postgres is such a one: those of its pool, and the one that listens', async () => {
  const database = await createDatabase()
  const schema = 'evenkeel_queue'
  await prepareQueue({ kind: 'postgres', url: database.url, schema })
  const connection = {
    connectionString: database.url,
    options: `-c search_path=${schema}`,
    schema,
    max: 1,
    Client: HeardClient,
  }
  const queue = new Queue('tickets', { connection }, heardPostgresBackend)
  queue.on('error', () => undefined)
  const { backend } = queue as unknown as {
    backend: { connection: { pool: pg.Pool; getListenClient(): Promise<pg.Client> } }
  }
  await queue.waitUntilReady()
  expect(await backend.connection.getListenClient()).toBeInstanceOf(HeardClient)
  const pooled = await backend.connection.pool.connect()
  pooled.release()
  expect(pooled).toBeInstanceOf(HeardClient)
  await queue.close()
})
