import { existsSync, readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { page } from '../support/pages.ts'

const repository = new URL('../../', import.meta.url)
const promises = ['EO', 'ZW', 'PP', 'NS', 'PT', 'DF', 'FT']
const line = /^\| ([A-Z]{2}-\d+) +\| (.+?) +\| `(src\/[^`]+)` +\| `(test\/[^`]+\.test\.ts)`: (.+?) +\|$/

const table = (await page('docs/invariants.md')).split('\n').filter((each) => /^\| [A-Z]{2}-/.test(each))
const invariants = table.map((row) => {
  const [, id = row, promise = '', enforcedBy = '', file = '', name = ''] = line.exec(row) ?? []
  return { id, promise, enforcedBy, file, name }
})

test('each promise has invariants, each with an id of its own', () => {
  const ids = invariants.map(({ id }) => id)
  expect(new Set(ids).size).toBe(ids.length)
  expect([...new Set(ids.map((id) => id.split('-')[0]))]).toEqual(promises)
})

test.for(invariants)('$id is enforced by a file and checked by a test that are there', ({ enforcedBy, file, name }) => {
  expect(existsSync(new URL(enforcedBy, repository)), enforcedBy).toBe(true)
  const source = readFileSync(new URL(file, repository), 'utf8')
  const title = name.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')
  expect(source, `${file}: ${name}`).toMatch(new RegExp(`(['"\`])${title}\\1`))
})
