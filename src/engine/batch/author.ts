import { z } from 'zod'
import type { Target } from '../../core/range/key.ts'
import { parseTableName } from '../../core/sql/identifier.ts'
import { ownSchemas, withoutSchemas } from '../../core/sql/search-path.ts'
import { meaningSettings, type Settings } from '../../core/sql/settings.ts'
import { type Queryable, statement } from '../../postgres/statement.ts'
import { eq } from './operators.ts'

/**
 * Settings that decide what a job's SQL means, as this session's role and database have them: what psql would show.
 * They do not depend on what has been set in the session.
 */
export async function readOwnSettings(session: Queryable): Promise<Settings> {
  return readReset(session, meaningSettings)
}

const readUserSql = statement('readUser', { user: z.string() }, 'SELECT current_user::pg_catalog.text AS user')

/**
 * From here on names and values in the session mean what they mean in psql: under the search_path and settings of the
 * run, or those of the role and database. evenkeel's own schemas are removed from the path: a role of the same name
 * would find them first. Returns the previous settings.
 */
export async function becomeAuthor(session: Queryable, s: string, { settings = {} }: Pick<Target, 'settings'>) {
  const { search_path: path = '' } = await readReset(session, ['search_path'])
  const { user } = await readUserSql.one({ db: session })
  const schemas = ownSchemas(parseTableName(s).table)
  return setSettings(session, { ...settings, search_path: withoutSchemas(path, schemas, user) })
}

/** Runs `work` with the job's SQL, in a session that is evenkeel's before and after. */
export async function asAuthor<T>(
  session: Queryable,
  s: string,
  target: Pick<Target, 'settings'>,
  work: () => Promise<T>,
): Promise<T> {
  return restoring(session, await becomeAuthor(session, s, target), work)
}

/** Runs `work` under other settings. */
export async function withSettings<T>(session: Queryable, settings: Settings, work: () => Promise<T>): Promise<T> {
  return restoring(session, await setSettings(session, settings), work)
}

/**
 * A statement that fails in a transaction makes all others in it fail, also the one that restores the settings. The
 * rollback then restores them. `takeSession` clears anything else left in a session
 * before its next use.
 */
async function restoring<T>(session: Queryable, before: Settings, work: () => Promise<T>): Promise<T> {
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

const exchangeSettingsSql = statement(
  'exchangeSettings',
  { name: z.string(), before: z.string(), now: z.string() },
  `SELECT name, pg_catalog.current_setting(name) AS before, pg_catalog.set_config(name, value, false) AS now
     FROM pg_catalog.json_each_text($1) AS asked (name, value)`,
)

/** Returns the previous values. */
async function setSettings(session: Queryable, settings: Settings): Promise<Settings> {
  return byName(await exchangeSettingsSql.rows({ db: session }, [JSON.stringify(settings)]))
}

const readResetSql = statement(
  'readReset',
  { name: z.string(), before: z.string() },
  `SELECT name, reset_val AS before FROM pg_catalog.pg_settings WHERE name ${eq} ANY ($1::pg_catalog.text[])`,
)

async function readReset(session: Queryable, names: readonly string[]): Promise<Settings> {
  return byName(await readResetSql.rows({ db: session }, [names]))
}

function byName(rows: ReadonlyArray<{ readonly name: string; readonly before: string }>): Settings {
  return Object.fromEntries(rows.map(({ name, before }) => [name, before]))
}
