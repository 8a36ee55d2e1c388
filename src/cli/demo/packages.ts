import type { Pool } from 'pg'
import { copyFrom, copyText } from './copy.ts'
import { stringsOf } from './names.ts'
import type { Count } from './proof.ts'
import { openEntry } from './tarball.ts'

const schema = `
  CREATE TABLE packages (
    id        int NOT NULL,
    name      text NOT NULL,
    -- What the job fills.
    scope     text,
    bare_name text,
    touched   int NOT NULL DEFAULT 0
  )`

// As with the cities: counts every write by any process in the row itself.
const witness = `
  CREATE FUNCTION count_change() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN NEW.touched := OLD.touched + 1; RETURN NEW; END $$;
  CREATE TRIGGER count_change BEFORE UPDATE OF bare_name ON packages
    FOR EACH ROW EXECUTE FUNCTION count_change()`

/** Counts of what was loaded, made while reading. */
export interface LoadedPackages {
  readonly packages: number
  readonly scoped: number
}

/**
 * Yields the names in a package's archive as rows. `onProgress` is called with the part read and the number of names.
 */
export async function loadPackages(
  pool: Pool,
  archive: string,
  onProgress: (ratio: number, packages: number) => void,
): Promise<LoadedPackages> {
  await pool.query(schema)
  const { bytes, contents } = await openEntry(archive, 'package/names.json')
  let [read, packages, scoped] = [0, 0, 0]
  const counted = async function* () {
    for await (const chunk of contents) {
      read += chunk.length
      yield chunk
    }
  }
  const lines = async function* () {
    for await (const names of stringsOf(counted())) {
      let chunk = ''
      for (const name of names) {
        packages += 1
        if (name.startsWith('@')) scoped += 1
        chunk += `${packages}\t${copyText(name)}\n`
      }
      yield chunk
      onProgress(read / bytes, packages)
    }
  }
  const client = await pool.connect()
  try {
    await copyFrom(client, 'COPY packages (id, name) FROM STDIN', lines())
  } finally {
    client.release()
  }
  await pool.query('ALTER TABLE packages ADD PRIMARY KEY (id)')
  await pool.query(witness)
  await pool.query('VACUUM ANALYZE packages')
  return { packages, scoped }
}

/** Conditions that must hold when all names are split. */
export function packageCounts({ packages, scoped }: LoadedPackages, rowsDone: number): Count[] {
  const rows = (where: string) => `SELECT count(*) FROM packages WHERE ${where}`
  return [
    { label: 'rows in the table', sql: 'SELECT count(*) FROM packages', expected: packages },
    { label: 'with a scope', sql: rows("scope <> ''"), expected: scoped },
    { label: 'still with a slash', sql: rows("scope LIKE '%/%' OR bare_name LIKE '%/%'"), expected: 0 },
    {
      label: 'joined as before',
      sql: rows("name = coalesce('@' || scope || '/', '') || bare_name"),
      expected: packages,
    },
    { label: 'done once', sql: rows('touched = 1'), expected: packages },
    { label: 'done twice', sql: rows('touched > 1'), expected: 0 },
    { label: 'left out', sql: rows('touched = 0'), expected: 0 },
    { label: 'changes in all', sql: 'SELECT sum(touched) FROM packages', expected: rowsDone },
  ]
}
