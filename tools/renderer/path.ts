export type Place = readonly [x: number, y: number]

/** A line through places, each told by how far it is from the one before, which takes half as many letters. */
export function through(places: readonly Place[]): string {
  const tenths = plain(places.map(([x, y]) => [Math.round(x * 10), Math.round(y * 10)] as const))
  return tenths
    .map(([x, y], index) => {
      const before = tenths[index - 1]
      if (!before) return `M${short(x)} ${short(y)}`
      return `${index === 1 ? 'l' : ' '}${short(x - before[0])} ${short(y - before[1])}`
    })
    .join('')
}

/** Without those on a level line, of which the ends tell all. */
function plain(places: readonly Place[]): Place[] {
  return places.filter(([, y], index) => !(places[index - 1]?.[1] === y && places[index + 1]?.[1] === y))
}

const short = (tenths: number) => String(tenths / 10).replace(/^(-?)0\./, '$1.')
