import { Problem } from '../../core/errors.ts'
import type { Control } from '../control.ts'

/**
 * Throws a Problem where the database is not encoded in UTF8: reasons, errors and keys are kept as text, in the characters of
 * any language, and a database that cannot hold one of them would refuse the change that it comes with.
 */
export async function refuseEncoding({ db }: Control): Promise<void> {
  const { rows } = await db.query<{ name: string; encoding: string }>(
    `SELECT pg_catalog.current_database() AS name, pg_catalog.current_setting('server_encoding') AS encoding`,
  )
  const { name, encoding } = rows[0] as { name: string; encoding: string }
  if (encoding === 'UTF8') return
  throw new Problem(
    'unavailable',
    `Database ${name} is encoded in ${encoding}. evenkeel serves UTF8 only, because it keeps keys, errors and reasons as text, and ${encoding} cannot hold or check all of it. Nothing was created. Move the data to a database with ENCODING 'UTF8' (pg_dump, then restore).`,
  )
}
