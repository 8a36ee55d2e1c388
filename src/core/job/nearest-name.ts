import { closest, distance } from 'fastest-levenshtein'

/** The name that a misspelt one probably meant; null if none is near. */
export function nearest(name: string, names: readonly string[]): string | null {
  if (names.length === 0) return null
  const simple = (text: string) => text.toLowerCase().replace(/[-_ ]/g, '')
  const bySimple = new Map(names.map((known) => [simple(known), known]))
  const found = closest(simple(name), [...bySimple.keys()])
  return distance(simple(name), found) <= Math.max(1, Math.floor(name.length / 3))
    ? (bySimple.get(found) ?? null)
    : null
}
