import type { ClientBase, Pool, PoolClient } from 'pg'
import { z } from 'zod'
import { setSettings } from './session.ts'
import { statement } from './statement.ts'

/** State of a session at its beginning. */
interface Beginning {
  readonly settings: Readonly<Record<string, string>>
  /** Settings from the role and the database. */
  readonly given: string
}

const beginnings = new WeakMap<ClientBase, Beginning>()

/** Call when a session begins. `takeSession` restores this state. */
export async function rememberBeginning(client: ClientBase, settings: Beginning['settings']): Promise<void> {
  beginnings.set(client, { settings, given: await givenSettings(client) })
}

/**
 * Takes a session in the state of a new one. Settings made in it before, by us or by a trigger, are reset. A session
 * from before an ALTER ROLE or ALTER DATABASE … SET is replaced, because only new sessions get such settings.
 */
export async function takeSession(pool: Pool): Promise<PoolClient> {
  for (;;) {
    const client = await pool.connect()
    let current = false
    try {
      current = await begin(client)
      if (current) return client
    } finally {
      if (!current) client.release(true)
    }
  }
}

/** Restores a session. False if a new session would have other settings. */
async function begin(client: ClientBase): Promise<boolean> {
  const beginning = beginnings.get(client)
  if (!beginning) throw new Error('takeSession needs a pool made by createPool, which remembers how its sessions began')
  await client.query('RESET ALL')
  await setSettings(client, beginning.settings)
  return (await givenSettings(client)) === beginning.given
}

const readGivenSettingsSql = statement(
  'readGivenSettings',
  { given: z.string() },
  `SELECT coalesce(pg_catalog.json_agg(s.setconfig ORDER BY s.setdatabase, s.setrole)::pg_catalog.text, '') AS given
     FROM pg_catalog.pg_db_role_setting s
     WHERE s.setdatabase OPERATOR(pg_catalog.=) ANY (ARRAY['0'::pg_catalog.oid,
         (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname OPERATOR(pg_catalog.=) pg_catalog.current_database())])
       AND s.setrole OPERATOR(pg_catalog.=) ANY (ARRAY['0'::pg_catalog.oid,
         (SELECT r.oid FROM pg_catalog.pg_roles r WHERE r.rolname OPERATOR(pg_catalog.=) session_user)])`,
)

/** Settings that ALTER ROLE and ALTER DATABASE … SET give a new session. */
async function givenSettings(client: ClientBase): Promise<string> {
  return (await readGivenSettingsSql.one({ db: client })).given
}
