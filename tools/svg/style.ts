import { element } from './svg.ts'

const light = {
  paper: '#ffffff',
  ink: '#1f2328',
  quiet: '#59636e',
  grid: '#d1d9e0',
  first: '#0969da',
  second: '#bf3989',
  warn: '#9a6700',
  stop: '#cf222e',
}

const dark: typeof light = {
  paper: '#0d1117',
  ink: '#f0f6fc',
  quiet: '#9198a1',
  grid: '#3d444d',
  first: '#4493f8',
  second: '#db61a2',
  warn: '#d29922',
  stop: '#f85149',
}

const shapes = `
  text { font: 12px system-ui, -apple-system, 'Segoe UI', 'Noto Sans', 'DejaVu Sans', sans-serif }
  .title { font-size: 16px }
  .title, .name { font-weight: 600 }
  path { fill: none; stroke-width: 1.5; stroke-linejoin: round }
  path.thin { stroke-width: 1 }
  path.limit { stroke-width: 1; stroke-dasharray: 5 4 }
  rect.shade { fill-opacity: 0.12 }
`

function colours({ paper, ink, quiet, grid, ...lines }: typeof light): string {
  return `
  .paper { fill: ${paper}; stroke: ${grid} }
  text { fill: ${quiet} }
  .title, .name { fill: ${ink} }
  line { stroke: ${grid} }
  rect.quiet { fill: ${quiet} }
${Object.entries(lines)
  .map(([name, colour]) => `  path.${name} { stroke: ${colour} } text.${name}, rect.${name} { fill: ${colour} }`)
  .join('\n')}
`
}

/** A picture on a ground of its own, so that it can be read on any page; dark where the reader's pages are. */
export function picture(title: string, [width, height]: readonly [number, number], content: readonly string[]): string {
  const root = { xmlns: 'http://www.w3.org/2000/svg', viewBox: `0 0 ${width} ${height}`, width, height, role: 'img' }
  const parts = [
    element('title', {}, title),
    element('style', {}, `${shapes}${colours(light)}  @media (prefers-color-scheme: dark) {${colours(dark)}  }\n`),
    element('rect', { x: 0.5, y: 0.5, width: width - 1, height: height - 1, rx: 6, class: 'paper' }),
    ...content,
  ]
  return `${element('svg', root, ...parts.map((part) => `\n${part}`), '\n')}\n`
}
