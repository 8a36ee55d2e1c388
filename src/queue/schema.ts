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

/** Of every session of the queue, whatever its address, role or database say: none waits for ever, nor keeps others waiting. */
const settings = {
  application_name: sessionName,
  client_encoding: 'UTF8',
  default_transaction_isolation: 'read committed',
  lock_timeout: '5s',
  statement_timeout: '10s',
  idle_in_transaction_session_timeout: '10s',
  // What the queue loses is written again. A ticket must not wait for a standby that is away.
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
 * Makes the queue's tables where they are to be in Postgres. Done once, before anything is opened: a worker of BullMQ that
 * finds its schema unusable asks again without a pause. Throws a Problem where others hold its tables, else what Postgres throws.
 */
export async function prepareQueue(location: QueueLocation): Promise<void> {
  if (location.kind === 'postgres') await migrateQueue(location, false)
}

/**
 * Makes the queue's tables and functions again where some of them are gone: what was in them is lost, which the rescuer
 * writes again. Where that was done a moment ago, by another process, it is left.
 */
export async function repairQueue(location: QueueLocation): Promise<void> {
  if (location.kind === 'postgres') await migrateQueue(location, true)
}

/** Whether an error says that the queue's schema, or something in it, is not there. */
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
/** A repair of so long ago is one of what fails now. */
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
  // A connection that breaks fails the statement it is in; unheard, its event would end the process as well.
  client.on('error', () => undefined)
  await client.connect()
  try {
    await beginSession(client, location.schema)
    if (!anew && (await isUpToDate(client, location.schema))) return
    const { exists } = await schemaExistsSql.one({ db: client }, [location.schema])
    await runMigrations(
      {
        query: async (text: string, values?: unknown[]) => {
          // CREATE SCHEMA IF NOT EXISTS asks for the right to create in the database even where the schema is there. It is
          // the first statement under the lock of all who migrate.
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

/** Drops what is in the schema, and not the schema: the role may not be allowed to make it again. */
async function emptySchema(client: pg.Client, schema: string): Promise<void> {
  for (const { drop } of await listDropsSql.rows({ db: client }, [schema])) await client.query(drop)
}
