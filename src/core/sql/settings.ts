/** Settings of a session by their names, as Postgres writes them. */
export type Settings = Readonly<Record<string, string>>

/** What the values of a key are, or hold. */
export type Held = 'dates' | 'intervals' | 'floats' | 'arrays'

/** Settings on which depends what a job's SQL means, and how values are written as text. */
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
 * The settings that a job's SQL runs under: the role's and database's own. A run keeps its place as text, so that a setting
 * under which the text of its key is not exact stays what it is for all of evenkeel's sessions.
 */
export function settingsFor(own: Settings, key: ReadonlySet<Held>): Settings {
  const settings = { ...own }
  if (key.has('dates')) settings.DateStyle = `ISO, ${orderOf(own.DateStyle ?? '')}`
  if (key.has('intervals')) settings.IntervalStyle = 'postgres'
  if (key.has('floats') && Number(own.extra_float_digits) < 1) settings.extra_float_digits = '1'
  if (key.has('arrays')) settings.array_nulls = 'on'
  return settings
}

/** What those who wrote the job should know, in words: where its SQL does not mean what it means in psql. */
export function tellSettings(own: Settings, settings: Settings): string[] {
  return meaningSettings
    .filter((name) => own[name] !== settings[name])
    .map(
      (name) =>
        `${name} is ${settings[name]} in this run, and ${own[name]} for its role and database: under that setting the key has no exact text. If the job writes such values as text, it states their form: to_char(…).`,
    )
}

/** "SQL, DMY": the order in which a date of three numbers is read. */
function orderOf(dateStyle: string): string {
  return dateStyle.split(',')[1]?.trim() || 'MDY'
}
