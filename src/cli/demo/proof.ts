import type { Pool } from 'pg'
import type { EventBody, RunView } from './client.ts'
import { count, seconds } from './messages.ts'
import type { Screen } from './screen.ts'

/** One number of a proof: how to count it, and its expected value. */
export interface Count {
  readonly label: string
  readonly sql: string
  readonly expected: number
}

/** Counts in the database and shows the numbers next to the run's own. Returns what is wrong, in words. */
export async function proveCounts(
  pool: Pool,
  screen: Screen,
  run: RunView,
  counts: readonly Count[],
): Promise<string[]> {
  const wrong: string[] = []
  for (const { label, sql, expected } of counts) {
    const { rows } = await pool.query<{ value: number }>(`SELECT (${sql})::int AS value`)
    const value = rows[0]?.value ?? Number.NaN
    const right = value === expected
    if (!right) wrong.push(`${label}: ${count(value)} instead of ${count(expected)}`)
    screen.line(`   ${label.padEnd(18)} ${count(value).padStart(9)}   ${screen.dim(sql)}${right ? '' : '   WRONG'}`)
  }
  screen.line(
    `   ${'as checkpointed'.padEnd(18)} ${count(run.proof?.rowsDone ?? 0).padStart(9)}   ${screen.dim(`GET /runs/${run.id}, proof.rowsDone`)}`,
  )
  return wrong
}

/** Counts everything about the cities and shows it. Returns what is wrong, in words; nothing if the proof holds. */
export async function prove(
  pool: Pool,
  standby: Pool,
  screen: Screen,
  run: RunView,
  loaded: number,
): Promise<string[]> {
  const counts: Count[] = [
    { label: 'rows in the table', sql: 'SELECT count(*) FROM cities', expected: loaded },
    { label: 'rows done', sql: 'SELECT count(*) FROM cities WHERE touched > 0', expected: loaded },
    { label: 'done twice', sql: 'SELECT count(*) FROM cities WHERE touched > 1', expected: 0 },
    { label: 'left out', sql: 'SELECT count(*) FROM cities WHERE touched = 0 OR search_name IS NULL', expected: 0 },
    // Compares the checkpoints with the trigger. They would differ if a batch had committed without its checkpoint, or
    // a checkpoint without its batch.
    { label: 'changes in all', sql: 'SELECT sum(touched) FROM cities', expected: run.proof?.rowsDone ?? -1 },
  ]
  const wrong = await proveCounts(pool, screen, run, counts)
  const [here, there] = (await Promise.all([pool, standby].map(digest))) as [Digest, Digest]
  const same = here.count === there.count && here.sum === there.sum
  if (!same) wrong.push('the standby has other rows than its primary')
  screen.line(
    `   ${'on the standby'.padEnd(18)} ${count(there.count).padStart(9)}   ${screen.dim(`${digestSql}: ${same ? 'as' : 'not as'} on the primary`)}${same ? '' : '   WRONG'}`,
  )
  return wrong
}

/** Over every field of every row, independent of the order. */
const digestSql = 'SELECT count(*)::int, sum(hashtextextended(cities::text, 0)) FROM cities'

interface Digest {
  readonly count: number
  readonly sum: string
}

async function digest(pool: Pool): Promise<Digest> {
  return (await pool.query<Digest>(digestSql)).rows[0] as Digest
}

/** Actor, event and time. Like events in a row are one line. */
export function showEvents(screen: Screen, events: readonly EventBody[], nameOf: (actor: string) => string): void {
  const began = Date.parse(events[0]?.at ?? '')
  const lines: Array<{ at: string; actor: string; what: string; times: number }> = []
  for (const event of events) {
    const actor = nameOf(event.actor)
    const what = describe(event, nameOf)
    const last = lines.at(-1)
    if (last?.actor === actor && last.what === what) last.times += 1
    else lines.push({ at: ((Date.parse(event.at) - began) / 1000).toFixed(1), actor, what, times: 1 })
  }
  const width = Math.max(...lines.map((line) => line.actor.length))
  for (const { at, actor, what, times } of lines) {
    screen.line(`   ${at.padStart(5)} s  ${actor.padEnd(width)}  ${what}${times > 1 ? ` (${times} times)` : ''}`)
  }
}

function describe({ kind, detail }: EventBody, nameOf: (actor: string) => string): string {
  if (kind === 'rescued') return `rescued     range ${detail.range}, lost by ${nameOf(String(detail.lostBy))}`
  if (kind === 'created') return `created     ${detail.ranges} ranges`
  if (kind === 'options') return `options     ${changes(detail.from as object, detail.to as object)}`
  if (kind === 'held') return `held        ${detail.reason}`
  if (kind === 'released') return `released    by itself, after ${seconds(Number(detail.heldSeconds))}`
  const reason = typeof detail.reason === 'string' ? `: ${detail.reason}` : ''
  return `${kind.padEnd(11)} ${detail.from} -> ${detail.to}${reason}`
}

function changes(from: object, to: object): string {
  const before = new Map(Object.entries(from))
  return Object.entries(to)
    .filter(([name, value]) => JSON.stringify(before.get(name)) !== JSON.stringify(value))
    .map(([name, value]) => `${name} ${JSON.stringify(before.get(name))} -> ${JSON.stringify(value)}`)
    .join(', ')
}
