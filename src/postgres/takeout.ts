import type { ClientBase, Pool, PoolClient } from 'pg'
import { z } from 'zod'
import { setSettings } from './session.ts'
import { statement } from './statement.ts'

/** What a session was begun with. */
interface Beginning {
  readonly settings: Readonly<Record<string, string>>
  /** What the role and the database gave it besides. */
  readonly given: string
}

const beginnings = new WeakMap<ClientBase, Beginning>()

/** To be called when a session has begun: what it has then, it has again each time that it is taken. */
export async function rememberBeginning(client: ClientBase, settings: Beginning['settings']): Promise<void> {
  beginnings.set(client, { settings, given: await givenSettings(client) })
}

/**
 * A session of a pool as if it had just begun. Nothing is left in it of what was set in it before, by us or by a trigger; and
 * it is not one from before an ALTER ROLE or ALTER DATABASE … SET, whose settings only new sessions have.
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

/** False where a session that begins now would have other settings. */
async function begin(client: ClientBase): Promise<boolean> {
  const beginning = beginnings.get(client)
  if (!beginning) throw new Error('a session was taken from a pool that does not remember how its sessions began')
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

/** What ALTER ROLE and ALTER DATABASE … SET give a session that begins now. */
async function givenSettings(client: ClientBase): Promise<string> {
  return (await readGivenSettingsSql.one({ db: client })).given
}
