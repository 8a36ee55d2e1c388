import { writeFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { runEvents, runStatuses, transitions } from '../../src/core/run/status.ts'
import { page } from '../support/pages.ts'

const name = 'docs/architecture/run-lifecycle.md'
const block = /(<!-- states: .*? -->\n)(.*?)(<!-- \/states -->)/s

/** The table as a state diagram: several events between the same two statuses are one arrow. */
function diagram(): string {
  const arrows = runStatuses.flatMap((from) => {
    const byTarget = new Map<string, string[]>()
    for (const event of runEvents) {
      const to = transitions[from][event]
      if (to !== null) byTarget.set(to, [...(byTarget.get(to) ?? []), event])
    }
    const ends = byTarget.size === 0 ? [`${from} --> [*]`] : []
    return [...[...byTarget].map(([to, events]) => `${from} --> ${to}: ${events.join(', ')}`), ...ends]
  })
  const lines = ['stateDiagram-v2', `[*] --> ${runStatuses[0]}: POST /runs`, ...arrows]
  return `\n\`\`\`mermaid\n${lines.map((line, index) => (index === 0 ? line : `  ${line}`)).join('\n')}\n\`\`\`\n\n`
}

test('the state diagram of a run is the table in src/core/run/status.ts', async () => {
  const text = await page(name)
  const [, , shown] = block.exec(text) ?? []
  const should = diagram()
  if (process.env.UPDATE_DOCS && shown !== undefined && shown !== should) {
    await writeFile(new URL(`../../${name}`, import.meta.url), text.replace(block, `$1${should}$3`))
    return
  }
  const update = `${name} does not show the table. Update it: UPDATE_DOCS=1 npx vitest run --project unit test/unit/run-diagram.test.ts`
  expect(shown, update).toBe(should)
})
