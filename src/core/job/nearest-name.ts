import { closest, distance } from 'fastest-levenshtein'

/** Of some names, the one that a misspelt one was probably meant to be; null where none is near. */
export function nearest(name: string, names: readonly string[]): string | null {
  if (names.length === 0) return null
  const simple = (text: string) => text.toLowerCase().replace(/[-_ ]/g, '')
  const bySimple = new Map(names.map((known) => [simple(known), known]))
  const found = closest(simple(name), [...bySimple.keys()])
  return distance(simple(name), found) <= Math.max(1, Math.floor(name.length / 3))
    ? (bySimple.get(found) ?? null)
    : null
}
