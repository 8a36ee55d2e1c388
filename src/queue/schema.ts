import { assertSchemaCompatibility, LATEST_SCHEMA_VERSION, runMigrations, SchemaMigrationRequiredError } from 'bullmq'
import pg from 'pg'
import { z } from 'zod'
import { messageOf, Problem } from '../core/errors.ts'
import { quoteIdentifier } from '../core/sql/identifier.ts'
import { isSqlState } from '../core/sqlstate.ts'
import { splitStartupOptions } from '../postgres/connection-string.ts'
import { declared, statement } from '../postgres/statement.ts'
import type { QueueLocation } from './location.ts'

export const sessionName = 'evenkeel queue'

/**
 * Settings of every session of the queue, whatever its address, role or database say. No session waits for ever or
 * keeps others waiting.
 */
const settings = {
  application_name: sessionName,
  client_encoding: 'UTF8',
  default_transaction_isolation: 'read committed',
  lock_timeout: '5s',
  statement_timeout: '10s',
  idle_in_transaction_session_timeout: '10s',
  // The rescuer rewrites lost tickets. A ticket must not wait for a disconnected standby.
  synchronous_commit: 'off',
}

const beginSessionSql = statement(
  'beginQueueSession',
  { value: z.string() },
  'SELECT pg_catalog.set_config(name, value, false) AS value FROM pg_catalog.json_each_text($1) AS asked(name, value)',
)

export async function beginSession(client: pg.ClientBase, schema: string): Promise<void> {
  await beginSessionSql.rows({ db: client }, [JSON.stringify({ ...settings, search_path: quoteIdentifier(schema) })])
}

/**
 * Creates the queue's tables if the queue is in Postgres. Call once, before anything is opened: a BullMQ worker with an
 * unusable schema retries without a pause. Throws a Problem if other sessions hold the tables, else the error of
 * Postgres.
 */
export async function prepareQueue(location: QueueLocation): Promise<void> {
  if (location.kind === 'postgres') await migrateQueue(location, false)
}

/**
 * Creates the queue's tables and functions again if some are missing. Tickets in them are lost, and the rescuer
 * rewrites them. Does nothing if another process made the repair a moment ago.
 */
export async function repairQueue(location: QueueLocation): Promise<void> {
  if (location.kind === 'postgres') await migrateQueue(location, true)
}

/** Whether an error says that the queue's schema or an object in it is missing. */
export function isIncomplete(error: unknown): boolean {
  return error instanceof SchemaMigrationRequiredError || isSqlState(error, ...goneStates)
}

/** Undefined schema, table, function, type, column. */
const goneStates = [
  'invalid_schema_name',
  'undefined_table',
  'undefined_function',
  'undefined_object',
  'undefined_column',
] as const
/** A repair within this time covers the current failure. */
const repairedWithin = '5 seconds'

const schemaExistsSql = statement(
  'queueSchemaExists',
  { exists: z.boolean() },
  'SELECT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = $1) AS exists',
)

async function migrateQueue(location: Extract<QueueLocation, { kind: 'postgres' }>, anew: boolean): Promise<void> {
  const { url, startupOptions } = splitStartupOptions(location.url)
  const client = new pg.Client({
    connectionString: url,
    options: startupOptions,
    application_name: sessionName,
    connectionTimeoutMillis: 10_000,
  })
  // A broken connection fails the statement in flight. Without a listener its event would also end the process.
  client.on('error', () => undefined)
  await client.connect()
  try {
    await beginSession(client, location.schema)
    if (!anew && (await isUpToDate(client, location.schema))) return
    const { exists } = await schemaExistsSql.one({ db: client }, [location.schema])
    await runMigrations(
      {
        query: async (text: string, values?: unknown[]) => {
          // CREATE SCHEMA IF NOT EXISTS requires the right to create in the database even if the schema exists. It is
          // the first statement under the lock that all migrating processes take.
          if (!exists || !text.startsWith('CREATE SCHEMA')) return client.query(text, values)
          if (anew && !(await wasRepaired(client, location.schema))) await emptySchema(client, location.schema)
          return { rows: [], rowCount: 0 }
        },
      } as Parameters<typeof runMigrations>[0],
      location.schema,
    )
  } catch (error) {
    if (!isSqlState(error, 'lock_not_available')) throw error
    throw new Problem(
      'unavailable',
      `Cannot migrate schema ${location.schema}: other sessions hold locks on its tables (${messageOf(error)}). Nothing was changed. Find them in pg_locks and pg_stat_activity, end them or wait for them, and start again.`,
    )
  } finally {
    await client.end()
  }
}

/**
 * Whether no migration is due. This is asked first, because migrating takes the strongest lock even with nothing to
 * migrate and would wait for a running dump.
 */
async function isUpToDate(client: pg.Client, schema: string): Promise<boolean> {
  try {
    return (await assertSchemaCompatibility(client, schema)) >= LATEST_SCHEMA_VERSION
  } catch (error) {
    if (error instanceof SchemaMigrationRequiredError) return false
    throw error
  }
}

const ledgerExistsSql = statement(
  'queueLedgerExists',
  { exists: z.boolean() },
  `SELECT EXISTS (SELECT FROM pg_catalog.pg_class c
      JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
    WHERE n.nspname OPERATOR(pg_catalog.=) $1 AND c.relname OPERATOR(pg_catalog.=) 'migration') AS exists`,
)

const wasRepairedRows = declared('queueWasRepaired', { recent: z.boolean() })

async function wasRepaired(client: pg.Client, schema: string): Promise<boolean> {
  const ledger = await ledgerExistsSql.one({ db: client }, [schema])
  if (!ledger.exists) return false
  const found = await client.query(
    `SELECT coalesce(max(applied_at) > pg_catalog.clock_timestamp() - interval '${repairedWithin}', false) AS recent
    FROM ${quoteIdentifier(schema)}.migration`,
  )
  return wasRepairedRows.readOne(found).recent
}

const listDropsSql = statement(
  'listQueueDrops',
  { drop: z.string() },
  `WITH here AS (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = $1)
    SELECT pg_catalog.format('DROP TABLE IF EXISTS %I.%I CASCADE', $1, relname) AS drop
    FROM pg_catalog.pg_class JOIN here ON relnamespace = here.oid WHERE relkind IN ('r', 'p')
    UNION ALL
    SELECT pg_catalog.format('DROP SEQUENCE IF EXISTS %I.%I CASCADE', $1, relname)
    FROM pg_catalog.pg_class JOIN here ON relnamespace = here.oid WHERE relkind = 'S'
    UNION ALL
    SELECT pg_catalog.format('DROP ROUTINE IF EXISTS %s CASCADE', p.oid::pg_catalog.regprocedure)
    FROM pg_catalog.pg_proc p JOIN here ON pronamespace = here.oid
    UNION ALL
    SELECT pg_catalog.format('DROP TYPE IF EXISTS %I.%I CASCADE', $1, typname)
    FROM pg_catalog.pg_type JOIN here ON typnamespace = here.oid WHERE typtype IN ('e', 'd')`,
)

/** Drops everything in the schema but keeps the schema: the role may lack the right to create it again. */
async function emptySchema(client: pg.Client, schema: string): Promise<void> {
  for (const { drop } of await listDropsSql.rows({ db: client }, [schema])) await client.query(drop)
}
