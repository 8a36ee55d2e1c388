import { randomBytes } from 'node:crypto'
import { onTestFinished } from 'vitest'
import type { TestDatabase } from './database.ts'

/** A role that may create its schemas, and has these rights on a table. Returns an address that connects as it. */
export async function createRole(
  database: TestDatabase,
  rights: string,
  table: string,
): Promise<{ name: string; url: string }> {
  const name = `role_${randomBytes(6).toString('hex')}`
  await database.query(`CREATE ROLE ${name} LOGIN PASSWORD 'secret'`)
  onTestFinished(async () => {
    await database.query(`DROP OWNED BY ${name} CASCADE`)
    await database.query(`DROP ROLE ${name}`)
  })
  await database.query(`GRANT CREATE ON DATABASE ${database.name} TO ${name}`)
  await database.query(`GRANT ${rights} ON ${table} TO ${name}`)
  return { name, url: Object.assign(new URL(database.url), { username: name, password: 'secret' }).href }
}
