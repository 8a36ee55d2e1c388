import { Queue } from 'bullmq'
import type pg from 'pg'
import { expect, test } from 'vitest'
import { GuardedClient, guardedPostgresBackend } from '../../src/queue/bullmq-postgres.ts'
import { beginSession, prepareQueue } from '../../src/queue/schema.ts'
import { createDatabase } from '../support/database.ts'
import { createItems } from '../support/items.ts'
import { startInProcess } from '../support/service.ts'
import { until } from '../support/until.ts'

test('an error that the server sends to a client whom nobody listens to any more does not end the process', async () => {
  const database = await createDatabase()
  const client = new GuardedClient(database.url)
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
    Client: GuardedClient,
  }
  const queue = new Queue('tickets', { connection }, guardedPostgresBackend)
  queue.on('error', () => undefined)
  const { backend } = queue as unknown as {
    backend: { connection: { pool: pg.Pool; getListenClient(): Promise<pg.Client> } }
  }
  await queue.waitUntilReady()
  expect(await backend.connection.getListenClient()).toBeInstanceOf(GuardedClient)
  const pooled = await backend.connection.pool.connect()
  pooled.release()
  expect(pooled).toBeInstanceOf(GuardedClient)
  await queue.close()
})

test('sessions of the queue are what evenkeel makes them, whatever the database and the address say', async () => {
  const database = await createDatabase()
  await database.query(`ALTER DATABASE ${database.name} SET default_transaction_isolation = 'serializable'`)
  const client = new GuardedClient({ connectionString: `${database.url}?application_name=shop&client_encoding=LATIN1` })
  await client.connect()
  await beginSession(client, 'evenkeel_queue')
  const { rows } = await client.query(
    "SELECT current_setting('transaction_isolation') AS isolation, current_setting('application_name') AS name, current_setting('client_encoding') AS encoding",
  )
  await client.end()
  expect(rows).toEqual([{ isolation: 'read committed', name: 'evenkeel queue', encoding: 'UTF8' }])
})

test('no session of a service goes by the name that the address gives it, for it would count as one of others', async () => {
  const database = await createDatabase()
  const url = `${database.url}?application_name=shop&statement_timeout=1&query_timeout=1`
  const client = await startInProcess({ url }, await createItems(database, 100), { REDIS_URL: '' })
  await client.reaches(await client.start('count'), ['succeeded'])
  const names = await database.query<{ name: string }>(
    `SELECT DISTINCT application_name AS name FROM pg_stat_activity WHERE datname = $1 AND pid <> pg_backend_pid()
     AND application_name NOT LIKE 'evenkeel %' AND backend_type = 'client backend'`,
    [database.name],
  )
  expect(names.filter(({ name }) => name !== '')).toEqual([])
})
