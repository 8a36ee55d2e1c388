import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { page } from '../support/pages.ts'

const repository = fileURLToPath(new URL('../../', import.meta.url))
/** What a person reads: code, pages, dashboards and alerts. */
const folders = ['src', 'docs', 'jobs', 'grafana/code', 'grafana/alerts', 'deploy']
const single = [
  ...readdirSync(repository).filter((name) => name.endsWith('.md') && name !== 'CHANGELOG.md'),
  'package.json',
  'docker-compose.yml',
]
const read = /\.(ts|mjs|sql|md|yaml|yml|json|sh)$/
/** Where a retired word has to stand: the list itself, and migrations, which are never changed once they were applied. */
const exempt = /^(docs\/glossary\.md|src\/store\/schema\/\d+_\w+\.sql)$/
interface Retired {
  readonly word: string
  readonly instead: string
  readonly refused: string
}

const row = /^\| `(\w+)` +\| (.+?) +\| (as .+?|in code) +\|$/
const retired = (await page('docs/glossary.md')).split('\n').flatMap((line): Retired[] => {
  const [, word, instead, refused] = row.exec(line) ?? []
  return word && instead && refused ? [{ word, instead, refused }] : []
})

const files = [
  ...single,
  ...folders.flatMap((folder) =>
    readdirSync(`${repository}${folder}`, { recursive: true, encoding: 'utf8' }).map((name) => `${folder}/${name}`),
  ),
].filter((file) => read.test(file) && !exempt.test(file))
const texts = files.map((file) => ({ file, text: readFileSync(`${repository}${file}`, 'utf8') }))

/** The words of a line, those inside names such as `openDatabases` included; in the singular. */
function wordsOf(line: string): string[] {
  return [...line.matchAll(/[A-Z]?[a-z]+/g)].flatMap(([word]) => {
    const lower = word.toLowerCase()
    return lower.endsWith('s') ? [lower, lower.slice(0, -1), lower.replace(/es$/, '')] : [lower]
  })
}

/** Whether a line uses a word in the way that is refused. */
const uses: Readonly<Record<string, (line: string, word: string, file: string) => boolean>> = {
  'as a word or in a name': (line, word) => wordsOf(line).includes(word),
  'in code': (line, word, file) => file.endsWith('.ts') && wordsOf(line).includes(word),
  'as a word in docs': (line, word, file) => file.endsWith('.md') && wordsOf(line).includes(word),
  // `probe` is also the name of a session, of a ticket and, in Kubernetes, of a health check.
  'as a signal': (line, word) =>
    new RegExp(`\`${word}\`|"${word}": |signals?: ['"]${word}\\b|signal=~?"[^"]*\\b${word}\\b|'others'`).test(line),
  'as an event': (line, word) => new RegExp(`[\`'"]${word}[\`'"]`).test(line),
}

function places({ word, refused }: Retired): string[] {
  return texts.flatMap(({ file, text }) => {
    if (!text.toLowerCase().includes(word)) return []
    return text.split('\n').flatMap((line, index) => {
      return uses[refused]?.(line, word, file) ? [`${file}:${index + 1}: ${line.trim()}`] : []
    })
  })
}

test('the list of retired words is read, and each says in which use it is refused', () => {
  expect(retired.length).toBeGreaterThan(10)
  for (const { word, refused } of retired) expect(Object.keys(uses), word).toContain(refused)
})

test.for(retired)('$word is not used any more: write $instead', (each) => {
  const message = `docs/glossary.md retires "${each.word}" ${each.refused}. Write instead: ${each.instead}`
  expect(places(each), message).toEqual([])
})
