import { assertSchemaCompatibility, LATEST_SCHEMA_VERSION, runMigrations, SchemaMigrationRequiredError } from 'bullmq'
import pg from 'pg'
import { messageOf, Problem } from '../core/errors.ts'
import { quoteIdentifier } from '../core/identifier.ts'
import type { QueueLocation } from './tickets.ts'

/** Of every session of the queue: none waits for ever, nor keeps others waiting. */
const settings = { lock_timeout: '5s', statement_timeout: '10s', idle_in_transaction_session_timeout: '10s' }

export async function beginSession(client: pg.ClientBase, schema: string): Promise<void> {
  await client.query(
    'SELECT pg_catalog.set_config(name, value, false) FROM pg_catalog.json_each_text($1) AS asked(name, value)',
    [JSON.stringify({ ...settings, search_path: quoteIdentifier(schema) })],
  )
}

/**
 * Makes the queue's tables where they are to be in Postgres. Done once, before anything is opened: a worker of BullMQ that
 * finds its schema unusable asks again without a pause. Throws a Problem where others hold its tables, else what Postgres throws.
 */
export async function prepareQueue(location: QueueLocation): Promise<void> {
  if (location.kind === 'redis') return
  const client = new pg.Client({
    connectionString: location.url,
    application_name: 'evenkeel queue',
    connectionTimeoutMillis: 10_000,
  })
  // A connection that breaks fails the statement it is in; unheard, its event would end the process as well.
  client.on('error', () => undefined)
  await client.connect()
  try {
    await beginSession(client, location.schema)
    if (await isUpToDate(client, location.schema)) return
    const found = await client.query('SELECT FROM pg_namespace WHERE nspname = $1', [location.schema])
    const exists = found.rowCount === 1
    await runMigrations(
      {
        // CREATE SCHEMA IF NOT EXISTS asks for the right to create in the database even where the schema is there.
        query: async (text: string, values?: unknown[]) =>
          exists && text.startsWith('CREATE SCHEMA') ? { rows: [], rowCount: 0 } : client.query(text, values),
      } as Parameters<typeof runMigrations>[0],
      location.schema,
    )
  } catch (error) {
    if ((error as { code?: string }).code !== '55P03') throw error
    throw new Problem(
      'unavailable',
      `Schema ${location.schema} cannot be brought up to date: other sessions hold locks on its tables (${messageOf(error)}). Nothing was changed. pg_locks and pg_stat_activity tell who they are; end them, or wait for them, and start again.`,
    )
  } finally {
    await client.end()
  }
}

/** Asked first: migrating takes the strongest lock even where there is nothing to migrate, and would wait for a dump to end. */
async function isUpToDate(client: pg.Client, schema: string): Promise<boolean> {
  try {
    return (await assertSchemaCompatibility(client, schema)) >= LATEST_SCHEMA_VERSION
  } catch (error) {
    if (error instanceof SchemaMigrationRequiredError) return false
    throw error
  }
}
