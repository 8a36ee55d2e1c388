import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { drawSpeed } from '../plot/speed.ts'
import { goalsOf } from './goals.ts'
import type { Entry, Results } from './results.ts'
import { describeSetting, sameSetting } from './setting.ts'
import { goalsTableOf, tableOf } from './tables.ts'

const page = new URL('../../docs/benchmarks.md', import.meta.url)
const pictures = new URL('../../docs/pictures/', import.meta.url)
const [begin, end] = ['<!-- measured: written by npm run bench:report -->', '<!-- /measured -->']

/** Tables and goals go into the page, between its marks, and the picture beside it. The same results, the same bytes. */
export async function writeDocs(results: Results): Promise<void> {
  const text = await readFile(page, 'utf8')
  await writeFile(page, between(text, `![Speed side by side](pictures/speed.svg)\n\n${measuredText(results)}`))
  await mkdir(pictures, { recursive: true })
  await writeFile(new URL('speed.svg', pictures), drawSpeed(results.entries))
}

export function between(text: string, measured: string): string {
  const [from, to] = [text.indexOf(begin), text.indexOf(end)]
  if (from < 0 || to < from) throw new Error(`docs/benchmarks.md has no lines ${begin} and ${end}`)
  return `${text.slice(0, from + begin.length)}\n\n${measured}\n\n${text.slice(to)}`
}

export function measuredText({ machine, entries }: Results): string {
  const { cpu, cores, memoryGb, platform } = machine
  const goals = goalsOf(entries)
  return [
    `Machine: ${cpu}, ${cores} cores, ${memoryGb} GB, ${platform}. ${versionsOf(entries)}.`,
    ...bySetting(entries).map(
      (group) => `### ${describeSetting((group[0] as Entry).setting)}\n\n${roundsOf(group)}\n\n${tableOf(group)}`,
    ),
    ...(goals.length === 0 ? [] : [`### Goals\n\n${goalsTableOf(goals)}`]),
  ].join('\n\n')
}

/** Entries of one setting each, in their order. */
function bySetting(entries: readonly Entry[]): Entry[][] {
  const groups: Entry[][] = []
  for (const entry of entries) {
    const last = groups.at(-1)
    if (last?.[0] && sameSetting(last[0].setting, entry.setting)) last.push(entry)
    else groups.push([entry])
  }
  return groups
}

function versionsOf(entries: readonly Entry[]): string {
  const all = entries.map(
    ({ versions }) => `${versions.postgres}, Node ${versions.node}, evenkeel ${versions.evenkeel}`,
  )
  return [...new Set(all)].join('; ')
}

function roundsOf(entries: readonly Entry[]): string {
  const counts = entries.map(({ rounds }) => rounds.length)
  const [least, most] = [Math.min(...counts), Math.max(...counts)]
  return `Medians of ${least === most ? least : `${least} to ${most}`} ${most === 1 ? 'round' : 'rounds'}.`
}
