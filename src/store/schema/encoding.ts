import { z } from 'zod'
import { Problem } from '../../core/errors.ts'
import { statement } from '../../postgres/statement.ts'
import type { Control } from '../control.ts'

const readEncodingSql = statement(
  'readEncoding',
  { name: z.string(), encoding: z.string() },
  () => `SELECT pg_catalog.current_database() AS name, pg_catalog.current_setting('server_encoding') AS encoding`,
)

/**
 * Throws a Problem unless the database is encoded in UTF8. Reasons, errors and keys are stored as text in any language.
 * Another encoding would refuse a change because of a character in its text.
 */
export async function refuseEncoding(control: Control): Promise<void> {
  const { name, encoding } = await readEncodingSql.one(control)
  if (encoding === 'UTF8') return
  throw new Problem(
    'unavailable',
    `Database ${name} is encoded in ${encoding}. evenkeel serves UTF8 only, because it keeps keys, errors and reasons as text, and ${encoding} cannot hold or check all of it. Nothing was created. Move the data to a database with ENCODING 'UTF8' (pg_dump, then restore).`,
  )
}
