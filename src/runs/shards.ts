import { Problem } from '../core/errors.ts'
import { explainRefusedShards, mergeStatuses } from '../core/run/shards.ts'
import { nextStatus, type RunEvent, type RunStatus, transitions } from '../core/run/status.ts'
import type { Run } from '../store/run.ts'
import { findRun, listRuns, listRunsById, type RunPosition } from '../store/runs.ts'
import { noSuchRun } from '../store/transitions.ts'
import type { Database } from './database.ts'
import { findDatabase, queryAll, type Unreachable } from './databases.ts'

/** A run's row in one database. */
export interface Shard {
  readonly db: Database
  readonly run: Run
}

/** A database of the run whose shard cannot be shown. */
export interface UnavailableShard extends Unreachable {
  readonly state: 'unreachable' | 'missing'
}

/** One run as seen in the databases that it spans, at least one of which could be read. */
export interface ShardedRun {
  readonly id: string
  readonly shards: readonly [Shard, ...Shard[]]
  readonly unseen: readonly UnavailableShard[]
}

/**
 * The run with this id; with `database`, the one with a shard there. Throws a Problem if there is none, or if there are
 * two: databases that were once served separately may have given out the same id.
 */
export async function findShardedRun(
  databases: readonly Database[],
  id: string,
  database?: string | null,
): Promise<ShardedRun> {
  const wanted = database === undefined || database === null ? null : findDatabase(databases, database)
  const { answers, away } = await queryAll(databases, ({ control }) => findRun(control, id))
  const rows = answers.flatMap(({ db, answer }) => (answer ? [{ db, run: answer }] : []))
  const runs = gather(databases, rows, away)
  const chosen = wanted ? runs.filter(({ shards }) => shards.some(({ db }) => db === wanted)) : runs
  const [found, twin] = chosen
  if (found && twin) {
    const places = chosen.map(({ shards }) => shards.map(({ db }) => db.name).join(' and '))
    throw new Problem(
      'conflict',
      `Two runs have the id ${id}: one in ${places.join(', one in ')}. Choose one: add ?database=${found.shards[0].db.name}.`,
      { databases: chosen.map(({ shards }) => shards.map(({ db }) => db.name)) },
    )
  }
  if (found) return found
  const unread = wanted ? away.filter((db) => db.database === wanted.name) : away
  if (unread.length > 0) {
    throw new Problem(
      'unavailable',
      `Cannot determine whether run ${id} exists. ${unread.map(({ reason }) => reason).join(' ')} Try again.`,
    )
  }
  const [elsewhere] = runs
  if (wanted && elsewhere) {
    throw new Problem(
      'not-found',
      `Run ${id} has no shard in database ${wanted.name}; it has one in ${elsewhere.shards.map(({ db }) => db.name).join(', ')}.`,
    )
  }
  throw noSuchRun(id)
}

/** The runs with these shards, each once, oldest first. */
export async function findShardedRuns(
  databases: readonly Database[],
  places: ReadonlyArray<{ readonly db: Database; readonly id: string }>,
): Promise<ShardedRun[]> {
  const ids = [...new Set(places.map(({ id }) => id))]
  const { answers, away } = await queryAll(databases, ({ control }) => listRunsById(control, ids))
  const rows = answers.flatMap(({ db, answer }) => answer.map((run) => ({ db, run })))
  return gather(databases, rows, away)
    .filter(({ id, shards }) => places.some((place) => place.id === id && shards.some(({ db }) => db === place.db)))
    .sort(compareAge)
}

/** Groups rows into runs: rows with the same id that name the same databases. */
export function gather(
  databases: readonly Database[],
  rows: readonly Shard[],
  away: readonly Unreachable[],
): ShardedRun[] {
  const groups = new Map<string, [Shard, ...Shard[]]>()
  for (const part of rows) {
    const key = JSON.stringify([part.run.id, part.db.name === null ? null : spannedBy(part)])
    const group = groups.get(key)
    if (group) group.push(part)
    else groups.set(key, [part])
  }
  return [...groups.values()].map((parts) => ({
    id: parts[0].run.id,
    shards: parts,
    unseen: unseen(databases, parts, away),
  }))
}

/** The databases that a run spans. A run accepted before its database had a name spans that database alone. */
function spannedBy({ db, run }: Shard): readonly string[] {
  return run.databases ?? [String(db.name)]
}

function unseen(
  databases: readonly Database[],
  parts: readonly [Shard, ...Shard[]],
  away: readonly Unreachable[],
): UnavailableShard[] {
  if (parts[0].db.name === null) return []
  const givenUp = parts.some(({ run }) => run.status === 'cancelled' || run.status === 'cancelling')
  return spannedBy(parts[0])
    .filter((name) => !parts.some(({ db }) => db.name === name))
    .map((database) => {
      const gone = away.find((db) => db.database === database)
      if (gone) return { ...gone, state: 'unreachable' }
      if (!databases.some(({ name }) => name === database)) {
        const reason = `DATABASES does not name ${database}, so the state of the run there is unknown.`
        return { database, state: 'unreachable', reason }
      }
      const next = givenUp
        ? ''
        : ' Its start was interrupted: repeat the POST /runs with its Idempotency-Key, or cancel the run and start a new one.'
      return { database, state: 'missing', reason: `Database ${database} lacks its shard of the run.${next}` }
    })
}

/** The one status of a run. */
export function statusOf({ shards, unseen }: ShardedRun): RunStatus {
  return mergeStatuses([...shards.map(({ run }) => run.status), ...unseen.map(({ state }) => state)])
}

/** The version for If-Match. Every change of any shard raises it. */
export function versionOf({ shards }: Pick<ShardedRun, 'shards'>): number {
  return shards.reduce((sum, { run }) => sum + run.version, 0)
}

/** The selected shards: the one in `database`, or all. */
export function selectShards(run: ShardedRun, database: string | undefined): readonly Shard[] {
  return database === undefined ? run.shards : run.shards.filter(({ db }) => db.name === database)
}

/** The shards for which an event is legal. Throws a Problem (`conflict`) if it is legal for none. */
export function legalShards(run: ShardedRun, parts: readonly Shard[], event: RunEvent): readonly Shard[] {
  const legal = parts.filter((part) => transitions[part.run.status][event] !== null)
  if (legal.length > 0) return legal
  const away = parts === run.shards ? run.unseen.filter(({ state }) => state === 'unreachable') : []
  if (away.length > 0) {
    throw new Problem(
      'unavailable',
      `Cannot ${event} run ${run.id} in any database that can be reached. ${away.map(({ reason }) => reason).join(' ')} Nothing was changed. Try again when all can be reached.`,
    )
  }
  const [first] = parts
  if (parts.length === 1 && first) nextStatus(run.id, first.run.status, event)
  throw explainRefusedShards(
    run.id,
    parts.map((part) => ({ database: String(part.db.name), status: part.run.status })),
    event,
  )
}

/** With smaller pages, filtering by a rare status would need one query for every few runs. */
const minPageSize = 100

/** A page of runs, newest first. `next` is the value of `before` for the following page. */
export async function listShardedRuns(
  databases: readonly Database[],
  filter: {
    readonly job: string | null
    readonly status: RunStatus | null
    readonly before: string | null
    readonly limit: number
  },
): Promise<{ runs: ShardedRun[]; next: string | null; away: readonly Unreachable[] }> {
  const { job, status, limit } = filter
  const unnamed = databases[0]?.name === null
  const found: ShardedRun[] = []
  let before: Place | null = filter.before === null ? null : await findPlace(databases, filter.before)
  if (filter.before !== null && before === null) return { runs: [], next: null, away: [] }
  for (;;) {
    // The status of a sharded run is not stored in any database, so it cannot be queried.
    const count = unnamed || status === null ? limit : Math.max(limit, minPageSize)
    // Runs in other databases may have the same id as the run at `before`. It is read again and dropped below.
    const query = { job, status: unnamed ? status : null, from: before, limit: count + 1 }
    const { answers, away } = await queryAll(databases, ({ control }) => listRuns(control, query))
    const rows = answers.flatMap(({ db, answer }) => answer.map((run) => ({ db, run })))
    // No run among these is incomplete: each database has returned at least this many of its newest rows.
    const newest = gather(databases, rows, away).filter(
      (run) => before === null || comparePlaces(placeOf(run), before) < 0,
    )
    if (!unnamed) newest.sort((a, b) => compareAge(b, a))
    const window = newest.slice(0, count)
    found.push(...window.filter((run) => status === null || statusOf(run) === status))
    const last = window.at(-1)
    if (found.length >= limit || window.length < count || !last) {
      const runs = found.slice(0, limit)
      const end = runs.at(-1)
      return { runs, next: end && runs.length === limit ? pageAfter(end) : null, away }
    }
    before = placeOf(last)
  }
}

/** The position of a run in the list of all runs. Its databases tell it from another run with the same id. */
interface Place extends RunPosition {
  readonly span: string
}

function placeOf({ shards: [part] }: Pick<ShardedRun, 'shards'>): Place {
  const { id, number } = part.run
  return { id, number, span: part.db.name === null ? '' : spannedBy(part).join(' ') }
}

function comparePlaces(a: Place, b: Place): number {
  return a.number - b.number || compareTexts(a.id, b.id) || compareTexts(a.span, b.span)
}

function compareTexts(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}

/** Below 0 if `a` is the older run. */
export function compareAge(a: ShardedRun, b: ShardedRun): number {
  return comparePlaces(placeOf(a), placeOf(b))
}

/** Two runs may have the same id, so the database is part of the cursor. */
function pageAfter({ id, shards: [{ db }] }: ShardedRun): string {
  return db.name === null ? id : `${id}@${db.name}`
}

async function findPlace(databases: readonly Database[], before: string): Promise<Place | null> {
  const [id = '', database] = before.split('@')
  const asked = database === undefined ? databases : [findDatabase(databases, database)]
  const { answers } = await queryAll(asked, ({ control }) => findRun(control, id))
  const [part] = answers.flatMap(({ db, answer }) => (answer ? [{ db, run: answer }] : []))
  return part ? placeOf({ shards: [part] }) : null
}
