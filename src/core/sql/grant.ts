import { sqlstates } from '../sqlstate.ts'
import { quoteIdentifier } from './identifier.ts'

/** The rights on each kind of object, by Postgres' name for the kind. */
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

/** Postgres' message for a missing right, in English. It is not recognized in other languages. */
const missing = new RegExp(`^permission denied for (${Object.keys(rights).join('|')}) (.+)$`)

/** What to grant after an error 42501, as a sentence; null if Postgres' message does not tell. */
export function adviceToGrant(error: { readonly code?: string; readonly message: string }): string | null {
  if (error.code !== sqlstates.insufficient_privilege) return null
  const [, what = '', name = ''] = missing.exec(error.message) ?? []
  const right = rights[what]
  return right === undefined ? null : `GRANT the role that evenkeel connects as a right on ${what} ${name}: ${right}.`
}

/**
 * The statement that lets a role create its schemas in the database of this address; null if that names no role or
 * database.
 */
export function grantToCreate(address: string): string | null {
  try {
    const { username, pathname } = new URL(address)
    const [role, database] = [username, pathname.slice(1)].map(decodeURIComponent)
    return role && database ? `GRANT CREATE ON DATABASE ${quoteIdentifier(database)} TO ${quoteIdentifier(role)}` : null
  } catch {
    return null
  }
}
