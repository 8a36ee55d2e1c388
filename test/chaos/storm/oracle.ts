import type { Run } from '../../../src/client/openapi.ts'
import { readEvent } from '../../../src/core/run/events.ts'
import { type RunStatus, runEvents } from '../../../src/core/run/status.ts'
import { sum } from '../../../src/core/statistics.ts'
import { type EventRow, faultsOfHistory } from './history.ts'
import type { StormRun, World } from './world.ts'

interface RangeRow {
  readonly ordinal: number
  readonly phase: 'keys' | 'stragglers' | 'residual' | 'pages'
  readonly leaf: string | null
  readonly lower: string[] | null
  readonly upper: string[] | null
  readonly done: boolean
  readonly scanned: number
  readonly rowsDone: number
  /** Rows that the table has inside its bounds. */
  readonly inside: number
  readonly taken: boolean
}

/** What of a run that has ended is not as it must be, in words; nothing where all is right. */
export async function judgeRun(world: World, run: StormRun): Promise<string[]> {
  const ranges = await readRanges(world, run)
  const verdicts = await Promise.all([
    judgeRows(world, run),
    judgePauses(world, run),
    judgeProof(world, run, ranges),
    judgeEvents(world, run, ranges),
  ])
  return [...judgeRanges(ranges, run), ...verdicts.flat()].map((words) => `${run.id}: ${words}`)
}

/** Exactly once, by what each row tells of itself; and those that cannot be done, once in quarantine. */
async function judgeRows(world: World, { id, job: { table, mark, about } }: StormRun): Promise<string[]> {
  const key = table.key.map(([column]) => column).join(', ')
  const due = `(${about} AND NOT bad)::int`
  const wrong = await world.query<{ done: number; due: number; rows: number; first: string }>(
    `SELECT ${mark}_done AS done, ${due} AS due, count(*)::int AS rows, min((${key})::text) AS first
     FROM ${table.name} WHERE ${mark}_done <> ${due} GROUP BY 1, 2`,
  )
  const texts = table.key.map(([column]) => `${column}::text`).join(', ')
  const strayed = await world.query<{ key: string }>(
    `SELECT key::text FROM ((SELECT ARRAY[${texts}] AS key FROM ${table.name} WHERE ${about} AND bad)
       EXCEPT ALL SELECT key FROM evenkeel.quarantine WHERE run_id = $1) AS missing
     UNION ALL
     SELECT key::text FROM (SELECT key FROM evenkeel.quarantine WHERE run_id = $1
       EXCEPT ALL (SELECT ARRAY[${texts}] AS key FROM ${table.name} WHERE ${about} AND bad)) AS extra`,
    [id],
  )
  return [
    ...wrong.map(
      ({ done, due, rows, first }) => `${rows} rows were done ${done} times, not ${due}; the first is ${first}`,
    ),
    ...strayed.map(({ key }) => `row ${key} is bad and not in quarantine, or in quarantine and not bad`),
  ]
}

/** Paused means paused: by the commit time of the transaction that each row says it was done in. */
async function judgePauses(world: World, { id, job: { table, mark } }: StormRun): Promise<string[]> {
  const late = await world.query<{ kind: string; at: string; rows: number }>(
    `WITH moves AS (
       SELECT kind, detail->>'to' AS status, at AS since, lead(at) OVER (ORDER BY id) AS till
       FROM evenkeel.events WHERE run_id = $1 AND kind = ANY($2)
     ), changes AS (
       SELECT pg_xact_commit_timestamp(${mark}_xact::xid) AS at FROM ${table.name} WHERE ${mark}_xact IS NOT NULL
     )
     SELECT m.status, m.since::text, count(*)::int AS rows FROM moves m JOIN changes c ON c.at > m.since AND c.at < m.till
     WHERE m.status IN ('paused', 'cancelled', 'failed') GROUP BY 1, 2`,
    [id, runEvents],
  )
  return late.map((pause) => `rows were changed while nothing could be: ${JSON.stringify(pause)}`)
}

/** What the API says of the end, against the table. */
async function judgeProof(world: World, { id, job }: StormRun, ranges: readonly RangeRow[]): Promise<string[]> {
  const { name } = job.table
  const [table] = await world.query<{ rows: number; due: number; bad: number }>(
    `SELECT count(*)::int AS rows, count(*) FILTER (WHERE ${job.about} AND NOT bad)::int AS due,
       count(*) FILTER (WHERE ${job.about} AND bad)::int AS bad FROM ${name}`,
  )
  const { rows, due, bad } = table as NonNullable<typeof table>
  const { status, proof, progress } = await world.call<Run>('GET', `/runs/${id}`)
  const some = job.mark === 'some'
  const said = {
    status,
    ...proof,
    stragglers: progress.stragglers,
    rowsOfRanges: sum(ranges.map(({ rowsDone }) => rowsDone)),
  }
  const expected = {
    status: 'succeeded',
    rowsDone: due,
    rowsScanned: rows,
    // A row that a lock kept from being asked is a straggler whether or not it is to be done. It is struck off then, as one of those.
    rowsGone: some && (proof?.rowsGone ?? 0) <= rows - due - bad ? (proof?.rowsGone ?? 0) : 0,
    // Without a predicate the rows are counted, inside the frozen bound.
    rowsChecked: some ? rows : proof?.rowsChecked,
    quarantined: bad,
    residual: some ? 0 : null,
    stragglers: 0,
    rowsOfRanges: due,
  }
  const [left] = await world.query<{ rows: number }>(
    'SELECT count(*)::int AS rows FROM evenkeel.stragglers WHERE run_id = $1',
    [id],
  )
  return [
    ...Object.entries(expected).flatMap(([what, value]) =>
      said[what as keyof typeof said] === value
        ? []
        : [`${what} is ${said[what as keyof typeof said]}, and should be ${value}`],
    ),
    ...(left?.rows === 0 ? [] : [`${left?.rows} stragglers are left`]),
  ]
}

async function judgeEvents(world: World, { id }: StormRun, ranges: readonly RangeRow[]): Promise<string[]> {
  const events = await world.query<EventRow>(
    'SELECT id::text, kind, detail FROM evenkeel.events AS events WHERE run_id = $1 ORDER BY events.id',
    [id],
  )
  const [run] = await world.query<{ status: RunStatus; options: unknown; held: boolean }>(
    'SELECT status, options, hold IS NOT NULL AS held FROM evenkeel.runs WHERE id = $1',
    [id],
  )
  const unknown = events.filter(({ kind, detail }) => readEvent(kind, detail).kind === 'unknown')
  return [
    ...unknown.map(({ kind, detail }) => `no event is to be written as ${kind} ${JSON.stringify(detail)}`),
    ...faultsOfHistory(events, { ...(run as NonNullable<typeof run>), ranges: ranges.length }),
  ]
}

/** Ranges, each with the rows that the table has between its bounds, in the order of its key. */
async function readRanges(world: World, { id, job: { table } }: StormRun): Promise<RangeRow[]> {
  const columns = table.key.map(([column]) => `t.${column}`).join(', ')
  const bound = (name: string) => table.key.map(([, type], index) => `${name}[${index + 1}]::${type}`).join(', ')
  return world.query<RangeRow>(
    `SELECT ordinal, phase, leaf->>'oid' AS leaf, lower_key AS lower, upper_key AS upper, done, rows_scanned::int AS scanned,
       rows_done::int AS "rowsDone", lease_owner IS NOT NULL OR lease_until IS NOT NULL OR ticket IS NOT NULL AS taken,
       (SELECT count(*)::int FROM ${table.name} t WHERE (leaf IS NULL OR t.tableoid::text = leaf->>'oid')
          AND (lower_key IS NULL OR (${columns}) > (${bound('lower_key')}))
          AND (upper_key IS NULL OR (${columns}) <= (${bound('upper_key')}))) AS inside
     FROM evenkeel.ranges WHERE run_id = $1 ORDER BY ordinal`,
    [id],
  )
}

function judgeRanges(ranges: readonly RangeRow[], { job }: StormRun): string[] {
  const wrong: string[] = []
  for (const range of ranges) {
    const refuse = (why: string) => wrong.push(`${why}: ${JSON.stringify(range)}`)
    if (range.taken) refuse('a range has a lease or a ticket still')
    // Stragglers are done with as soon as there are none: that range has no end of its own.
    if (!range.done && range.phase === 'keys') refuse('a range is not done')
    const read = range.phase === 'keys' || (range.phase === 'residual' && job.mark === 'some')
    if (read && range.scanned !== range.inside) refuse('a range has not passed each of its rows once')
  }
  const read = job.mark === 'some' ? (['keys', 'residual'] as const) : (['keys'] as const)
  for (const phase of read) {
    for (const leaf of new Set(ranges.map((range) => range.leaf))) {
      const slices = ranges.filter((range) => range.phase === phase && range.leaf === leaf)
      const fault = slices.length === 0 ? null : faultOfChain(slices)
      if (fault) wrong.push(`the ${phase} ranges of ${leaf ?? 'the table'} ${fault}: ${JSON.stringify(slices)}`)
    }
  }
  return wrong
}

/** Every range begins where another one ends, but for the first and the last: no gap and no overlap. */
function faultOfChain(slices: readonly RangeRow[]): string | null {
  const starts = slices.map(({ lower }) => JSON.stringify(lower)).sort()
  const ends = slices.map(({ upper }) => JSON.stringify(upper)).sort()
  if (starts.filter((start) => start === 'null').length !== 1) return 'do not begin once'
  const inner = starts.filter((start) => start !== 'null')
  for (const start of inner) {
    const end = ends.indexOf(start)
    if (end < 0) return `leave a gap before ${start}`
    ends.splice(end, 1)
  }
  return ends.length === 1 ? null : 'do not end once'
}
