import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { isQuiet } from '../support/cpu.ts'
import { describeMachine } from '../support/machine.ts'
import { median } from '../support/statistics.ts'
import { cases } from './cases.ts'
import type { Figures } from './measure.ts'
import { type Setting, sameSetting } from './setting.ts'

const folder = new URL('../results/', import.meta.url)
const file = new URL('backfill.json', folder)

export interface Versions {
  readonly evenkeel: string
  readonly node: string
  readonly postgres: string
}

/** All rounds of one case in one setting, measured by one invocation. */
export interface Entry {
  readonly name: string
  readonly setting: Setting
  readonly versions: Versions
  /** How long a turn could last. Seconds. */
  readonly atMost: number
  readonly rounds: readonly Figures[]
}

export interface Results {
  readonly machine: ReturnType<typeof describeMachine>
  readonly entries: readonly Entry[]
}

/** Of each figure over the rounds; null where no round has it. */
export type Medians = { readonly [name in Exclude<keyof Figures, 'done'>]: number | null }

export function mediansOf({ rounds }: Entry): Medians {
  const names = Object.keys(rounds[0] as Figures).filter((name) => name !== 'done') as (keyof Medians)[]
  const medians = names.map((name) => {
    const values = rounds.flatMap((round) => round[name] ?? [])
    return [name, values.length === 0 ? null : median(values)]
  })
  return Object.fromEntries(medians)
}

/** Whether every round found nothing left to write. */
export function isDone({ rounds }: Entry): boolean {
  return rounds.every(({ done }) => done)
}

/** Whether others had too much of the machine for anything to be concluded. */
export function isDisturbed(entry: Entry): boolean {
  return !isQuiet(mediansOf(entry).cpuOthers ?? 0)
}

/** The newer measurement of a case in a setting replaces the older; the order is always the same. */
export function merge(older: readonly Entry[], newer: readonly Entry[]): Entry[] {
  const replaced = (entry: Entry) => newer.some((each) => isSame(each, entry))
  return [...older.filter((entry) => !replaced(entry)), ...newer].sort(inOrder)
}

function isSame(a: Entry, b: Entry): boolean {
  return a.name === b.name && sameSetting(a.setting, b.setting)
}

function inOrder(a: Entry, b: Entry): number {
  const place = ({ name }: Entry) => cases.findIndex((each) => each.name === name)
  const kind = ({ setting: { fsync, keys, width } }: Entry) => `${fsync === 'on' ? 0 : 1} ${keys} ${width}`
  return kind(a).localeCompare(kind(b), 'en') || a.setting.rows - b.setting.rows || place(a) - place(b)
}

/** What was measured on this machine before; refuses to mix it with what another one did. */
export async function readOwnResults(): Promise<Results> {
  const machine = describeMachine()
  const results = await readResults()
  if (results === null) return { machine, entries: [] }
  if (JSON.stringify(results.machine) !== JSON.stringify(machine))
    throw new Error('bench/results/backfill.json was measured on another machine: move it away first')
  return results
}

/** Null when nothing has been measured yet. */
export async function readResults(): Promise<Results | null> {
  try {
    return JSON.parse(await readFile(file, 'utf8')) as Results
  } catch (error) {
    if ((error as { code?: string }).code === 'ENOENT') return null
    throw error
  }
}

export async function writeResults(results: Results): Promise<void> {
  await mkdir(folder, { recursive: true })
  const rounded = (_key: string, value: unknown) =>
    typeof value === 'number' ? Math.round(value * 1000) / 1000 : value
  await writeFile(file, `${JSON.stringify(results, rounded, 2)}\n`)
}
