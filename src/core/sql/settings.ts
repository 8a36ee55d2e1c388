/** Session settings by name, as Postgres writes them. */
export type Settings = Readonly<Record<string, string>>

/** What the values of a key are or contain. */
export type Held = 'dates' | 'intervals' | 'floats' | 'arrays'

/** Settings that decide what a job's SQL means, and how values are written as text. */
export const meaningSettings = [
  'TimeZone',
  'DateStyle',
  'IntervalStyle',
  'bytea_output',
  'extra_float_digits',
  'lc_monetary',
  'array_nulls',
] as const

/**
 * The settings for a job's SQL: the role's and database's own. A run stores its position as text. So a setting under
 * which the text of its key is not exact is fixed for all sessions of evenkeel.
 */
export function settingsFor(own: Settings, key: ReadonlySet<Held>): Settings {
  const settings = { ...own }
  if (key.has('dates')) settings.DateStyle = `ISO, ${orderOf(own.DateStyle ?? '')}`
  if (key.has('intervals')) settings.IntervalStyle = 'postgres'
  if (key.has('floats') && Number(own.extra_float_digits) < 1) settings.extra_float_digits = '1'
  if (key.has('arrays')) settings.array_nulls = 'on'
  return settings
}

/** Tells the job's author where its SQL does not mean what it means in psql. */
export function tellSettings(own: Settings, settings: Settings): string[] {
  return meaningSettings
    .filter((name) => own[name] !== settings[name])
    .map(
      (name) =>
        `${name} is ${settings[name]} in this run, and ${own[name]} for its role and database: with the latter the key has no exact text. If the job writes such values as text, state their form: to_char(…).`,
    )
}

/** "SQL, DMY": the order in which a date of three numbers is read. */
function orderOf(dateStyle: string): string {
  return dateStyle.split(',')[1]?.trim() || 'MDY'
}
