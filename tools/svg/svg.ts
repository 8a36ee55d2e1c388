type Attributes = Readonly<Record<string, string | number>>

/** An element; what is in it is SVG already. */
export function element(name: string, attributes: Attributes, ...children: string[]): string {
  const written = Object.entries(attributes).map(([key, value]) => ` ${key}="${shown(value)}"`)
  const start = `<${name}${written.join('')}`
  return children.length === 0 ? `${start}/>` : `${start}>${children.join('')}</${name}>`
}

export function text(words: string, x: number, y: number, attributes: Attributes = {}): string {
  return element('text', { x, y, ...attributes }, escaped(words))
}

/** A line of the axes and their grid. */
export function line([x1, y1]: readonly [number, number], [x2, y2]: readonly [number, number]): string {
  return element('line', { x1, y1, x2, y2, class: 'grid' })
}

/** A tenth of a pixel is finer than anybody sees, and comes out the same on every machine. */
function shown(value: string | number): string {
  return typeof value === 'number' ? String(Math.round(value * 10) / 10) : escaped(value)
}

function escaped(words: string): string {
  return words.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;')
}
