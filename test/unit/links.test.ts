import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

const repository = fileURLToPath(new URL('../../', import.meta.url))
const pages = [
  ...readdirSync(repository),
  ...readdirSync(join(repository, 'docs'), { recursive: true, encoding: 'utf8' }).map((name) => join('docs', name)),
].filter((name) => name.endsWith('.md'))
const textOf = (name: string) => readFileSync(join(repository, name), 'utf8')

/** What stands outside of blocks of code. */
function proseOf(name: string): string {
  return textOf(name).replaceAll(/^ *```.*?^ *```$/gms, '')
}

/** The anchors of a page's headings, as GitHub makes them. */
function anchorsOf(name: string): string[] {
  return [...proseOf(name).matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}\- ]/gu, '')
      .replaceAll(' ', '-'),
  )
}

test.for(pages)('each link of %s leads to a file, and to a heading that is there', (name) => {
  for (const [, link = ''] of proseOf(name).matchAll(/\]\(([^)\s]+)\)/g)) {
    if (/^(https?|mailto):/.test(link)) continue
    const [path = '', anchor] = link.split('#')
    const target = path === '' ? name : join(dirname(name), path)
    expect(existsSync(join(repository, target)), `${name}: ${link}`).toBe(true)
    if (anchor !== undefined) expect(anchorsOf(target), `${name}: ${link}`).toContain(anchor)
  }
})

test('the index of decisions lists each page once, in the order of their numbers', () => {
  const index = [...textOf('docs/adr/README.md').matchAll(/\((\d{4}-[a-z0-9-]+\.md)\)/g)].map(([, file]) => file)
  const written = readdirSync(join(repository, 'docs/adr')).filter((file) => /^\d{4}-/.test(file))
  expect(index).toEqual(written.sort())
  expect(index.map((file) => Number(file?.slice(0, 4)))).toEqual(index.map((_, position) => position + 1))
})
