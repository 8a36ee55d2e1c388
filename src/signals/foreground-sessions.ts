/** Sessions of evenkeel, of all its processes, are known by their names; the engine's alone touch users' tables. */
export const ours = "pg_catalog.starts_with(coalesce(application_name, ''), 'evenkeel ')"
export const engineName = 'evenkeel engine'

/**
 * Sessions of which this role sees that they exist and no more. Those of the server itself belong to no role, and are
 * hidden without a loss.
 */
export const hidden = 'backend_type IS NULL AND usesysid IS NOT NULL'
