import type { Target } from '../../core/range/key.ts'
import { parseTableName } from '../../core/sql/identifier.ts'
import { ownSchemas, withoutSchemas } from '../../core/sql/search-path.ts'
import { meaningSettings, type Settings } from '../../core/sql/settings.ts'
import { eq } from './operators.ts'

/** What runs statements: a session, or a transaction in it. */
export interface Session {
  query(text: string, values?: readonly unknown[]): Promise<{ rows: unknown[] }>
}

/**
 * Settings that a job's SQL means something by, as this session's role and database have them: what psql would show. A
 * session has them whatever has been set in it.
 */
export async function readOwnSettings(session: Session): Promise<Settings> {
  return readReset(session, meaningSettings)
}

/**
 * From here on names and values mean in the session what they mean in psql: the search_path and settings of the run, or
 * those of the role and database. Our own schemas are not on the path, where a role called like one would find them first.
 * Returns the settings of before.
 */
export async function becomeAuthor(session: Session, s: string, { settings = {} }: Pick<Target, 'settings'>) {
  const { search_path: path = '' } = await readReset(session, ['search_path'])
  const { rows } = await session.query('SELECT current_user::pg_catalog.text AS name')
  const user = (rows[0] as { name: string }).name
  const schemas = ownSchemas(parseTableName(s).table)
  return setSettings(session, { ...settings, search_path: withoutSchemas(path, schemas, user) })
}

/** Does something with the job's SQL in a session that is ours before and after. */
export async function asAuthor<T>(
  session: Session,
  s: string,
  target: Pick<Target, 'settings'>,
  work: () => Promise<T>,
): Promise<T> {
  return restoring(session, await becomeAuthor(session, s, target), work)
}

/** Does something under other settings. */
export async function withSettings<T>(session: Session, settings: Settings, work: () => Promise<T>): Promise<T> {
  return restoring(session, await setSettings(session, settings), work)
}

/**
 * A statement that failed in a transaction takes all others in it along, that which restores the settings too. Rolling it
 * back restores them. Whatever else is left over in a session, `takeSession` clears before its next use.
 */
async function restoring<T>(session: Session, before: Settings, work: () => Promise<T>): Promise<T> {
  let result: T
  try {
    result = await work()
  } catch (error) {
    await setSettings(session, before).catch(() => undefined)
    throw error
  }
  await setSettings(session, before)
  return result
}

/** Returns what they were. */
async function setSettings(session: Session, settings: Settings): Promise<Settings> {
  const { rows } = await session.query(
    `SELECT name, pg_catalog.current_setting(name) AS before, pg_catalog.set_config(name, value, false)
     FROM pg_catalog.json_each_text($1) AS asked (name, value)`,
    [JSON.stringify(settings)],
  )
  return byName(rows as { name: string; before: string }[])
}

async function readReset(session: Session, names: readonly string[]): Promise<Settings> {
  const { rows } = await session.query(
    `SELECT name, reset_val AS before FROM pg_catalog.pg_settings WHERE name ${eq} ANY ($1::pg_catalog.text[])`,
    [names],
  )
  return byName(rows as { name: string; before: string }[])
}

function byName(rows: ReadonlyArray<{ readonly name: string; readonly before: string }>): Settings {
  return Object.fromEntries(rows.map(({ name, before }) => [name, before]))
}
