/** evenkeel's own schemas, given the control schema's name. No name in a job's SQL may resolve to them. */
export function ownSchemas(control: string): readonly [control: string, queue: string] {
  return [control, `${control}_queue`]
}

const entry = /\s*("(?:[^"]|"")*"|[^\s,"]+)\s*(?:,|$)/gy

/** A search_path, as Postgres shows it, without these schemas. `"$user"` is removed as well if it means one of them. */
export function withoutSchemas(path: string, schemas: readonly string[], user: string): string {
  const entries = [...path.matchAll(entry)].map(([, written = '']) => written)
  const kept = entries.filter((written) => {
    const name = written.startsWith('"') ? written.slice(1, -1).replaceAll('""', '"') : written.toLowerCase()
    return !schemas.includes(name === '$user' ? user : name)
  })
  return kept.length === 0 ? '""' : kept.join(', ')
}
