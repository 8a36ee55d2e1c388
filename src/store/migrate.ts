import { readdir, readFile } from 'node:fs/promises'
import { Problem } from '../core/errors.ts'
import type { Control } from './control.ts'

const folder = new URL('./migrations/', import.meta.url)

interface Migration {
  readonly version: number
  readonly file: string
}

/**
 * Brings the control schema up to date, forward only, all in one transaction and under a lock: several processes may
 * start at once, and one that dies in the middle leaves nothing behind.
 * Throws a Problem when the schema is newer than this program.
 */
export async function migrate(control: Control): Promise<void> {
  const migrations = await listMigrations()
  await control.transaction(async ({ db, s, schema }) => {
    await db.query("SELECT pg_advisory_xact_lock(hashtextextended('evenkeel:' || $1, 0))", [schema])
    // CREATE SCHEMA IF NOT EXISTS asks for the right to create even where the schema is there already.
    const found = await db.query('SELECT FROM pg_namespace WHERE nspname = $1', [schema])
    if (found.rowCount === 0) await db.query(`CREATE SCHEMA ${s}`)
    const ledger = await db.query("SELECT to_regclass($1 || '.schema_version') AS table", [s])
    if (ledger.rows[0]?.table === null) {
      await db.query(
        `CREATE TABLE ${s}.schema_version (version int PRIMARY KEY, file text NOT NULL, applied_at timestamptz NOT NULL DEFAULT clock_timestamp())`,
      )
    }
    const applied = await db.query<{ version: number }>(
      `SELECT coalesce(max(version), 0)::int AS version FROM ${s}.schema_version`,
    )
    const current = applied.rows[0]?.version ?? 0
    const newest = migrations.at(-1)?.version ?? 0
    if (current > newest) {
      throw new Problem(
        'unavailable',
        `Schema ${schema} is at version ${current}, this evenkeel knows up to ${newest}. Start the newer release instead.`,
      )
    }
    for (const { version, file } of migrations.filter((migration) => migration.version > current)) {
      await db.query(`SET LOCAL search_path = ${s}`)
      await db.query(await readFile(new URL(file, folder), 'utf8'))
      await db.query('INSERT INTO schema_version (version, file) VALUES ($1, $2)', [version, file])
    }
  })
}

async function listMigrations(): Promise<Migration[]> {
  const files = (await readdir(folder)).filter((file) => /^\d{3}_\w+\.sql$/.test(file)).sort()
  return files.map((file) => ({ version: Number(file.slice(0, 3)), file }))
}
