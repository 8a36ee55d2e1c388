import { evenkeel, queues } from './cases.ts'
import { bigUpdate, doLoop, keysetLoops } from './loops.ts'
import { type Entry, isDisturbed, mediansOf } from './results.ts'
import { describeKind, describeSetting, type Setting, sameSetting } from './setting.ts'

export interface SpeedGoal {
  readonly text: string
  readonly where: string
  readonly value: number
  /** Null: others had too much of the machine while it was measured for anything to be concluded. */
  readonly met: boolean | null
}

/** A speed or a ratio, and whether the machine was left to what it was measured on. */
interface Measured {
  readonly value: number
  readonly disturbed: boolean
}

const million = 1_000_000

/** What the project promises. Where tickets can be in two places, the slower one counts. */
export function goalsOf(entries: readonly Entry[]): SpeedGoal[] {
  const settings = entries
    .map(({ setting }) => setting)
    .filter((setting, index, all) => all.findIndex((each) => sameSetting(each, setting)) === index)
  return settings.filter(({ rows }) => rows >= million).flatMap((setting) => goalsIn(setting, entries))
}

function goalsIn(setting: Setting, entries: readonly Entry[]): SpeedGoal[] {
  const two = ours(2, setting, entries)
  const loop = of([doLoop], setting, entries)
  const update = of([bigUpdate], setting, entries)
  // Where commits wait for the disk it may be the limit, and then a second worker cannot be of use.
  const least = setting.fsync === 'off' ? 1.5 : 0.95
  const where = describeSetting(setting)
  const goals = [
    goal(`two workers at least ${least} times one big UPDATE`, where, two, update, (ratio) => ratio >= least),
    goal(
      'one worker at least 0.95 times the SQL keyset loop',
      where,
      ours(1, setting, entries),
      of(keysetLoops, setting, entries, Math.max),
      (ratio) => ratio >= 0.95,
    ),
    goal('two workers at least 3 times the DO loop', where, two, loop, (ratio) => ratio >= 3),
  ]
  if (setting.rows > million) {
    const small = { ...setting, rows: million }
    const [twoThen, loopThen] = [ours(2, small, entries), of([doLoop], small, entries)]
    const than = `${describeKind(setting)}: ${setting.rows.toLocaleString('en-US')} against 1,000,000 rows`
    goals.push(
      goal('two workers as fast as at 1 million rows, within a tenth', than, two, twoThen, (ratio) => ratio >= 0.9),
      goal(
        'more ahead of the DO loop than at 1 million rows',
        than,
        quotient(two, loop),
        quotient(twoThen, loopThen),
        (ratio) => ratio > 1,
      ),
    )
  }
  return goals.filter((each) => each !== null)
}

function ours(workers: number, setting: Setting, entries: readonly Entry[]): Measured | null {
  const names = queues.map((queue) => evenkeel(workers, queue))
  return of(names, setting, entries, Math.min)
}

/** Of several, the fastest or the slowest. Null where none was measured. */
function of(
  names: readonly string[],
  setting: Setting,
  entries: readonly Entry[],
  choose: (...speeds: number[]) => number = Math.max,
): Measured | null {
  const found = entries.filter((entry) => names.includes(entry.name) && sameSetting(entry.setting, setting))
  if (found.length === 0) return null
  return {
    value: choose(...found.map((entry) => mediansOf(entry).rowsPerSecond ?? 0)),
    disturbed: found.some(isDisturbed),
  }
}

/** Null as well where the second one had committed nothing when its time was up. */
function quotient(a: Measured | null, b: Measured | null): Measured | null {
  return a && b && b.value > 0 ? { value: a.value / b.value, disturbed: a.disturbed || b.disturbed } : null
}

function goal(
  text: string,
  where: string,
  a: Measured | null,
  b: Measured | null,
  isMet: (ratio: number) => boolean,
): SpeedGoal | null {
  const ratio = quotient(a, b)
  return ratio && { text, where, value: ratio.value, met: ratio.disturbed ? null : isMet(ratio.value) }
}
