import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { alone, cases, paced, unpaced } from '../cases.ts'
import { settings } from './cluster.ts'
import { isQuiet } from './cpu.ts'
import { describeMachine } from './machine.ts'
import type { Figures } from './measure.ts'
import type { Options } from './options.ts'
import { median } from './statistics.ts'

const folder = new URL('../results/', import.meta.url)

export interface Result {
  readonly name: string
  /** Of each figure over the rounds. */
  readonly median: Figures
  readonly rounds: readonly Figures[]
}

export interface Goal {
  readonly text: string
  readonly value: number
  /** Null: others had too much of the machine while it was measured for anything to be concluded. */
  readonly met: boolean | null
}

/** All rounds of all cases, in the order of the cases. */
export function resultsOf(rounds: readonly ReadonlyMap<string, Figures>[]): Result[] {
  return cases.map(({ name }) => {
    const each = rounds.map((round) => round.get(name) as Figures)
    const names = Object.keys(each[0] as Figures) as (keyof Figures)[]
    const medians = names.map((figure) => [figure, median(each.map((figures) => figures[figure]))])
    return { name, median: Object.fromEntries(medians), rounds: each }
  })
}

export function medianOf(results: readonly Result[], name: string): Figures {
  return (results.find((result) => result.name === name) as Result).median
}

/** What the project promises about its defaults. */
export function goalsOf(results: readonly Result[]): Goal[] {
  const ours = medianOf(results, paced)
  const [quiet, full] = [medianOf(results, alone), medianOf(results, unpaced)]
  const goal = (text: string, value: number, met: boolean, from: readonly Figures[]): Goal => ({
    text,
    value,
    met: from.every(({ cpuOthers }) => isQuiet(cpuOthers)) ? met : null,
  })
  const slower = ours.p99 / quiet.p99
  const speed = ours.rowsPerSecond / full.rowsPerSecond
  const wait = ours.longestLockWait
  return [
    goal('p99 beside evenkeel at most 1.5 times p99 alone', slower, slower <= 1.5, [ours, quiet]),
    goal('at least a third of the speed without pace', speed, speed >= 1 / 3, [ours, full]),
    goal('longest lock wait for evenkeel under 500 ms', wait, wait < 500, [ours]),
  ]
}

/** Returns the path of the file, from the project's folder. */
export async function writeResults(options: Options, postgres: string, results: readonly Result[]): Promise<string> {
  const { version } = JSON.parse(await readFile(new URL('../../package.json', import.meta.url), 'utf8'))
  const all = {
    machine: describeMachine(),
    versions: { evenkeel: version, node: process.version, postgres },
    settings: { ...settings, fsync: options.fsync },
    options,
    goals: goalsOf(results),
    cases: results,
  }
  const rounded = JSON.stringify(all, (_key, value) => (typeof value === 'number' ? round(value) : value), 2)
  await mkdir(folder, { recursive: true })
  await writeFile(new URL('foreground.json', folder), `${rounded}\n`)
  return 'bench/results/foreground.json'
}

function round(value: number): number {
  return Math.round(value * 1000) / 1000
}
