const unstorable = /\0|\p{Surrogate}/gu

/** A text that Postgres can store: a NUL and half of a surrogate pair are replaced. */
export function storable(text: string): string {
  return text.replace(unstorable, '\uFFFD')
}

/** A value as JSON that Postgres can store. */
export function storableJson(value: unknown): string {
  return JSON.stringify(value, (_key, item: unknown) => {
    if (typeof item === 'string') return storable(item)
    if (typeof item !== 'object' || item === null || Array.isArray(item)) return item
    return Object.fromEntries(Object.entries(item).map(([name, of]) => [storable(name), of]))
  })
}
