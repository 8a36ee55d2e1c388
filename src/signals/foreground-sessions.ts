/** Sessions of evenkeel, in all its processes, have these names. Only those of the engine touch users' tables. */
export const ours = "pg_catalog.starts_with(coalesce(application_name, ''), 'evenkeel ')"
export const engineName = 'evenkeel engine'

/** Sessions whose activity this role may not see. Sessions of the server itself have no role and do not count. */
export const hidden = 'backend_type IS NULL AND usesysid IS NOT NULL'
