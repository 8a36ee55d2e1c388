import { readdir, readFile } from 'node:fs/promises'
import { z } from 'zod'
import { messageOf, Problem } from '../../core/errors.ts'
import { isSqlState } from '../../core/sqlstate.ts'
import { command, statement } from '../../postgres/statement.ts'
import type { Control } from '../control.ts'
import { takeAllLeases } from '../leases.ts'
import { lockVersion, newerSchema, readVersion } from './version.ts'

const folder = new URL('./', import.meta.url)
/** Each attempt waits for a lock as long as `lock_timeout` allows. */
const maxAttempts = 6

interface Migration {
  readonly version: number
  readonly file: string
}

/**
 * Brings the control schema up to date, forward only, in one transaction under a lock. Several processes may start at
 * once, and one that dies halfway leaves nothing behind. Returns the version that this program knows. Throws a Problem
 * if the schema is newer, or if other sessions keep its tables locked.
 */
export async function migrate(control: Control): Promise<number> {
  const migrations = await listMigrations()
  for (let attempt = 1; ; attempt += 1) {
    try {
      await control.transaction((tx) => applyMissing(tx, migrations))
      return newest(migrations)
    } catch (error) {
      // Workers of the previous release are still working and take locks in their own order.
      if (!isHeldUp(error)) throw error
      if (attempt < maxAttempts) continue
      throw new Problem(
        'unavailable',
        `Cannot migrate schema ${control.schema}: other sessions held locks on its tables in all ${maxAttempts} attempts (${messageOf(error)}). Nothing was changed. Find them in pg_locks and pg_stat_activity, end them or wait for them, and start again.`,
      )
    }
  }
}

const lockSchemaSql = command(
  'lockSchema',
  () => "SELECT FROM pg_advisory_xact_lock(hashtextextended('evenkeel:' || $1, 0))",
)

const hasSchemaSql = statement(
  'hasSchema',
  { found: z.boolean() },
  () => 'SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1) AS found',
)

const createSchemaSql = command('createSchema', (s) => `CREATE SCHEMA ${s}`)

const hasLedgerSql = statement(
  'hasLedger',
  { found: z.boolean() },
  () => "SELECT to_regclass($1 || '.schema_version') IS NOT NULL AS found",
)

const createLedgerSql = command(
  'createLedger',
  (s) =>
    `CREATE TABLE ${s}.schema_version (version int PRIMARY KEY, file text NOT NULL, applied_at timestamptz NOT NULL DEFAULT clock_timestamp())`,
)

const insertVersionSql = command(
  'insertVersion',
  (s) => `INSERT INTO ${s}.schema_version (version, file) VALUES ($1, $2)`,
)

async function applyMissing(tx: Control, migrations: readonly Migration[]): Promise<void> {
  const { db, s, schema } = tx
  await lockSchemaSql.run(tx, [schema])
  // CREATE SCHEMA IF NOT EXISTS requires the right to create even if the schema exists.
  if (!(await hasSchemaSql.one(tx, [schema])).found) await createSchemaSql.run(tx)
  if (!(await hasLedgerSql.one(tx, [s])).found) await createLedgerSql.run(tx)
  const current = await readVersion(tx)
  if (current > newest(migrations)) throw newerSchema(schema, current, newest(migrations))
  const missing = migrations.filter(({ version }) => version > current)
  if (missing.length === 0) return
  await lockVersion(tx)
  for (const { version, file } of missing) {
    await db.query(`SET LOCAL search_path = ${s}`)
    await db.query(await readFile(new URL(file, folder), 'utf8'))
    await insertVersionSql.run(tx, [version, file])
  }
  // Slices of the previous release end here: their statements do not know the new schema.
  await takeAllLeases(tx)
}

/** Lock timeout or deadlock. */
function isHeldUp(error: unknown): boolean {
  return isSqlState(error, 'lock_not_available', 'deadlock_detected')
}

function newest(migrations: readonly Migration[]): number {
  return migrations.at(-1)?.version ?? 0
}

async function listMigrations(): Promise<Migration[]> {
  const files = (await readdir(folder)).filter((file) => /^\d{3}_\w+\.sql$/.test(file)).sort()
  return files.map((file) => ({ version: Number(file.slice(0, 3)), file }))
}
