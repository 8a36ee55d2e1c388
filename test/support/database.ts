import { randomBytes } from 'node:crypto'
import pg from 'pg'
import { inject, onTestFinished } from 'vitest'
import { release } from './postgres.ts'

/** A database of its own for one test, dropped when the test ends. */
export interface TestDatabase {
  readonly url: string
  readonly name: string
  readonly pool: pg.Pool
  /** Rows of a query. */
  query<R extends pg.QueryResultRow>(text: string, values?: readonly unknown[]): Promise<R[]>
  /** The one value of a query that returns one row of one column. */
  value<T>(text: string, values?: readonly unknown[]): Promise<T>
  /** A session of its own, for holding locks. */
  session(): Promise<pg.Client>
}

/**
 * On the cluster that all tests share, as a service that ran here before has left it: most tests are not about a first
 * start, and it costs more than they do. For one that is, there are empty databases.
 */
export async function createDatabase(): Promise<TestDatabase> {
  const database = await create(inject('postgresUrl'), inject('preparedDatabase'))
  // Two databases that are one are refused, and on Redis they would share their tickets.
  await database.query("UPDATE evenkeel.instance SET id = left(replace(gen_random_uuid()::text, '-', ''), 12)")
  return database
}

/** With nothing in it, on the cluster that all tests share, or on one of the test's own. */
export function createEmptyDatabase(cluster = inject('postgresUrl')): Promise<TestDatabase> {
  return create(cluster, 'template1')
}

async function create(cluster: string, template: string): Promise<TestDatabase> {
  const admin = new pg.Client({ connectionString: cluster })
  await admin.connect()
  const name = `test_${randomBytes(6).toString('hex')}`
  // A copy of files costs a third of one that is written to the WAL page by page. Before 15 there is no other.
  await admin.query(`CREATE DATABASE ${name} TEMPLATE ${template} ${release < 15 ? '' : 'STRATEGY file_copy'}`)
  const url = new URL(cluster)
  url.pathname = `/${name}`
  const { close, ...database } = databaseAt(url.href)
  onTestFinished(async () => {
    await close()
    await admin.query(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`)
    await admin.end()
  })
  return database
}

/** One that is there already, and goes with its cluster: the cluster may fail in the meantime. */
export function openDatabase(url: string): TestDatabase {
  const { close, ...database } = databaseAt(url)
  onTestFinished(close)
  return database
}

function databaseAt(url: string): TestDatabase & { close(): Promise<void> } {
  const pool = new pg.Pool({ connectionString: url, max: 5 })
  pool.on('error', () => undefined)
  const sessions: pg.Client[] = []
  const query: TestDatabase['query'] = async (text, values = []) => (await pool.query(text, [...values])).rows
  return {
    url,
    name: new URL(url).pathname.slice(1),
    pool,
    query,
    async value<T>(text: string, values: readonly unknown[] = []) {
      const [row] = await query<Record<string, T>>(text, values)
      return Object.values(row as Record<string, T>)[0] as T
    },
    async session() {
      const client = new pg.Client({ connectionString: url })
      client.on('error', () => undefined)
      await client.connect()
      sessions.push(client)
      return client
    },
    async close() {
      await Promise.all(sessions.map((session) => session.end()))
      await pool.end()
    },
  }
}
