import { sqlstates } from '../sqlstate.ts'
import { quoteIdentifier } from './identifier.ts'

/** The rights that there are on a thing that Postgres names so. */
const rights: Readonly<Record<string, string>> = {
  table: 'SELECT (to read it), INSERT or UPDATE (to write it)',
  view: 'SELECT',
  'materialized view': 'SELECT',
  sequence: 'USAGE',
  schema: 'USAGE',
  function: 'EXECUTE',
  procedure: 'EXECUTE',
  type: 'USAGE',
}

/** What Postgres says of a right that is missing, in English. In other languages it says so in words that are not looked for. */
const missing = new RegExp(`^permission denied for (${Object.keys(rights).join('|')}) (.+)$`)

/** What to grant after an error 42501, as a sentence; null where Postgres' words do not tell. */
export function adviceToGrant(error: { readonly code?: string; readonly message: string }): string | null {
  if (error.code !== sqlstates.insufficient_privilege) return null
  const [, what = '', name = ''] = missing.exec(error.message) ?? []
  const right = rights[what]
  return right === undefined ? null : `GRANT the role that evenkeel connects as a right on ${what} ${name}: ${right}.`
}

/** The statement that lets a role make its schemas in the database of this address; null where the address names no role or database. */
export function grantToCreate(address: string): string | null {
  try {
    const { username, pathname } = new URL(address)
    const [role, database] = [username, pathname.slice(1)].map(decodeURIComponent)
    return role && database ? `GRANT CREATE ON DATABASE ${quoteIdentifier(database)} TO ${quoteIdentifier(role)}` : null
  } catch {
    return null
  }
}
