import type { ClientBase } from 'pg'
import { z } from 'zod'
import type { Destination } from './destination.ts'
import { backendOf, checkPooler, PoolerError } from './pooler.ts'
import { type RowOf, statement } from './statement.ts'

type Settings = Readonly<Record<string, string>>

/**
 * Returns how a pool begins each session. Sets the settings by statement, because poolers refuse `options` in the
 * startup message or drop them silently. Throws a PoolerError if that is impossible or not allowed.
 */
export function beginSessions(
  connectionString: string,
  settings: Settings,
  destination: Destination,
): (client: ClientBase) => Promise<void> {
  let checked: Promise<void> | null = null
  return async (client) => {
    // The driver knows the pid of its backend; its types do not.
    const told = client as ClientBase & { processID: number | null }
    const { backend, server } = await whoServes(client)
    if (told.processID === backend) {
      await setSettings(client, settings)
      destination.reached(client, server)
      return
    }
    // Checked once for all sessions, because the check opens sessions of its own. A failed check is repeated.
    checked ??= checkPooler(connectionString).catch((error) => {
      checked = null
      throw error
    })
    await checked
    await expectSettings(client, backend, await setSettings(client, settings))
    // Cancelling by the pooler's pid would cancel no statement, or the statement of another session.
    told.processID = backend
    destination.reached(client, server)
  }
}

const readServerSql = statement(
  'readServer',
  { backend: z.number(), server: z.string() },
  `SELECT pg_catalog.pg_backend_pid() AS backend,
      pg_catalog.date_part('epoch', pg_catalog.pg_postmaster_start_time())::pg_catalog.text AS server`,
)

/** Backend of a session, and its server, identified by its start time to the microsecond. */
function whoServes(client: ClientBase): Promise<RowOf<typeof readServerSql>> {
  return readServerSql.one({ db: client })
}

const setSettingsSql = statement(
  'setSettings',
  { name: z.string(), value: z.string() },
  `SELECT name, pg_catalog.set_config(name, value, false) AS value
    FROM pg_catalog.json_each_text($1) AS asked(name, value)`,
)

/** Returns the settings as Postgres writes them. */
export async function setSettings(client: ClientBase, settings: Settings): Promise<Settings> {
  const rows = await setSettingsSql.rows({ db: client }, [JSON.stringify(settings)])
  return Object.fromEntries(rows.map(({ name, value }) => [name, value]))
}

const findLostSettingsSql = statement(
  'findLostSettings',
  { name: z.string() },
  `SELECT name FROM pg_catalog.json_each_text($1) AS asked(name, value)
    WHERE pg_catalog.current_setting(name) IS DISTINCT FROM value`,
)

async function expectSettings(client: ClientBase, backend: number, settings: Settings): Promise<void> {
  const rows = await findLostSettingsSql.rows({ db: client }, [JSON.stringify(settings)])
  if (rows.length === 0 && (await backendOf(client)) === backend) return
  const lost = rows.length === 0 ? 'its backend' : rows.map(({ name }) => name).join(', ')
  throw new PoolerError(
    `The address leads to a pooler through which a session does not keep ${lost}. Give evenkeel the address of Postgres itself`,
  )
}
