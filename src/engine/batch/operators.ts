/**
 * Postgres' own operators, by their full names. evenkeel's SQL stands beside the author's, under the author's
 * search_path, on which users may put operators of the same names. All of these bind alike, so each use is bracketed.
 * `IN`, `BETWEEN`, `IS DISTINCT FROM`, `NULLIF`, `USING` and `CASE x WHEN` look `=` up on the search_path too, and are
 * not used.
 */
export const eq = 'OPERATOR(pg_catalog.=)'
export const less = 'OPERATOR(pg_catalog.<)'
export const atMost = 'OPERATOR(pg_catalog.<=)'
export const more = 'OPERATOR(pg_catalog.>)'
export const atLeast = 'OPERATOR(pg_catalog.>=)'
export const plus = 'OPERATOR(pg_catalog.+)'
export const minus = 'OPERATOR(pg_catalog.-)'
export const times = 'OPERATOR(pg_catalog.*)'
export const over = 'OPERATOR(pg_catalog./)'
export const rest = 'OPERATOR(pg_catalog.%)'
export const concat = 'OPERATOR(pg_catalog.||)'
/** An item of a JSON value, as text. */
export const item = 'OPERATOR(pg_catalog.->>)'

/** Equality of two values that may be null. Null equals null. */
export function same(left: string, right: string): string {
  return `(${left} ${eq} ${right} OR (${left} IS NULL AND ${right} IS NULL))`
}
