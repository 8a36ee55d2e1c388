import { messageOf, Problem, type ProblemKind } from '../core/errors.ts'
import { recoveryFrom } from '../core/fault.ts'
import type { Control } from '../store/control.ts'
import { withTimeout } from '../util/timeout.ts'
import type { Database } from './database.ts'

/** Anything that belongs to a database: the database itself, or a shard of a run. */
export interface InDatabase {
  readonly db: Database
}

/** A named database that could not be read, and why. */
export interface Unreachable {
  readonly database: string
  readonly reason: string
}

/** How long one of several databases may take before the answer is given without it. Milliseconds. */
const answerWithinMs = 5000

/** The database with this name. Throws a Problem that lists the valid names. */
export function findDatabase(databases: readonly Database[], name: string): Database {
  return chooseDatabases(databases, [name])[0] as Database
}

/** The databases with these names, or all, in the order of DATABASES. Throws a Problem that lists the valid names. */
export function chooseDatabases(
  databases: readonly Database[],
  names: readonly string[] | undefined,
): readonly Database[] {
  if (names === undefined) return databases
  const known = databases.flatMap(({ name }) => name ?? [])
  if (known.length === 0) {
    throw new Problem(
      'invalid',
      'This service has one database, without a name (DATABASES is not set). Leave out the name of the database.',
    )
  }
  const unknown = names.filter((name) => !known.includes(name))
  if (unknown.length > 0) {
    throw new Problem('invalid', `There is no database ${unknown.join(', ')}. DATABASES names ${known.join(', ')}.`, {
      databases: known,
    })
  }
  return databases.filter(({ name }) => name !== null && names.includes(name))
}

export function databasesOf(places: readonly InDatabase[]): readonly Database[] {
  return places.map(({ db }) => db)
}

/**
 * Queries every database at once. One of several that fails or is too slow does not delay the answer: it is returned in
 * `away`. Throws the first error if no database answers, and any Problem.
 */
export async function queryAll<T>(
  databases: readonly Database[],
  question: (db: Database) => Promise<T>,
  withinMs = answerWithinMs,
): Promise<{ answers: Array<{ db: Database; answer: T }>; away: Unreachable[] }> {
  const asked = await Promise.allSettled(
    databases.map((db) => (db.name === null ? question(db) : withTimeout(question(db), withinMs))),
  )
  const answers: Array<{ db: Database; answer: T }> = []
  const away: Unreachable[] = []
  for (const [index, outcome] of asked.entries()) {
    const db = databases[index] as Database
    if (outcome.status === 'fulfilled') answers.push({ db, answer: outcome.value })
    else if (outcome.reason instanceof Problem) throw outcome.reason
    else away.push(describeAway(db, outcome.reason))
  }
  const [first] = asked
  if (answers.length === 0 && first?.status === 'rejected') throw nameOutage(databases[0] as Database, first.reason)
  return { answers, away }
}

/** Logs the error in full and returns a short description. */
function describeAway(db: Database, error: unknown): Unreachable {
  db.log.warn({ err: error }, 'the database could not be read; the answer leaves it out')
  return { database: String(db.name), reason: unreachableReason(db, error) }
}

/** Why a named database could not be used, in words that reveal no internal errors. */
export function unreachableReason({ name }: Database, error: unknown): string {
  return recoveryFrom(error) === 'hold'
    ? `Database ${name} cannot be reached: ${messageOf(error)}.`
    : `Database ${name} cannot be used; the log says why.`
}

/** The error for the caller. With several databases, an outage names the one that is unreachable. */
function nameOutage(db: Database, error: unknown): unknown {
  if (db.name === null || error instanceof Problem || recoveryFrom(error) !== 'hold') return error
  return new Problem(
    'unavailable',
    `${unreachableReason(db, error)} Read the current state, then try again.`,
    {},
    { cause: error },
  )
}

/** Kinds of Problem, in the order in which the caller has to fix them. */
const kindsByWeight: readonly ProblemKind[] = ['invalid', 'not-found', 'conflict', 'stale', 'unavailable']

/** Does the work in every database at once. Throws one Problem with the findings of all databases that refuse. */
export async function validateAll<P extends InDatabase, R>(
  places: readonly P[],
  what: string,
  work: (place: P) => Promise<R>,
): Promise<Array<P & { readonly result: R }>> {
  const outcomes = await Promise.allSettled(places.map(work))
  const refused: Array<{ db: Database; error: unknown }> = []
  const done = outcomes.flatMap((outcome, index) => {
    const place = places[index] as P
    if (outcome.status === 'fulfilled') return [{ ...place, result: outcome.value }]
    refused.push({ db: place.db, error: nameOutage(place.db, outcome.reason) })
    return []
  })
  const [first] = refused
  if (!first) return done
  const defect = refused.find(({ error }) => !(error instanceof Problem))
  if (defect) throw defect.error
  const problems = refused.map(({ db, error }) => ({ database: String(db.name), problem: error as Problem }))
  const { message } = first.error as Problem
  // A fault of the request is the same in every database, so it is reported once.
  if (refused.length === places.length && problems.every(({ problem }) => problem.message === message))
    throw first.error
  throw new Problem(
    kindsByWeight.find((kind) => problems.some(({ problem }) => problem.kind === kind)) ?? 'unavailable',
    `${what} in ${problems.map(({ database }) => database).join(', ')}. The call is refused for all databases. ${problems.map(({ database, problem }) => `${database}: ${problem.message}`).join(' ')}`,
    {
      databases: Object.fromEntries(
        problems.map(({ database, problem }) => [database, { detail: problem.message, ...problem.details }]),
      ),
    },
  )
}

/** Some databases have committed, and then another one did not. */
export class PartialCommitError<P extends InDatabase = InDatabase> extends Problem {
  readonly done: readonly P[]
  constructor(done: readonly P[], undone: Database, error: unknown) {
    const names = done.map(({ db }) => String(db.name))
    super(
      'unavailable',
      `The change was committed in ${names.join(', ')}, but not in ${undone.name}: ${messageOf(error)}. Repeat it. GET the run shows its state in each database.`,
      { done: names },
      { cause: error },
    )
    this.done = done
  }
}

/**
 * Best-effort atomic change across databases, not two-phase commit. Opens a transaction in each database in name order
 * and does all work. Then commits in reverse order. If any database refuses the work, none commits. If a database fails
 * between the first commit and its own, throws PartialCommitError. `look` reads and locks in all databases before the
 * work begins in any, for work that depends on several of them.
 */
export async function transactInAll<P extends InDatabase, R>(
  places: readonly P[],
  work: (place: P, tx: Control) => Promise<R>,
  look: (place: P, tx: Control) => Promise<void> = async () => undefined,
): Promise<R[]> {
  // A fixed order: two callers in different orders would each wait for the other's locks.
  const ordered = [...places].sort((a, b) => (String(a.db.name) < String(b.db.name) ? -1 : 1))
  const committed: P[] = []
  let culprit: Database | null = null
  const blame = async <T>(place: P, act: () => Promise<T>): Promise<T> => {
    try {
      return await act()
    } catch (error) {
      culprit ??= place.db
      throw error
    }
  }
  const opened: Control[] = []
  const workInAll = async (): Promise<R[]> => {
    const results: R[] = []
    for (const [index, place] of ordered.entries())
      results.push(await blame(place, () => work(place, opened[index] as Control)))
    return results
  }
  const open = async (index: number): Promise<R[]> => {
    const place = ordered[index]
    if (!place) return workInAll()
    return blame(place, async () => {
      const results = await place.db.control.transaction(async (tx) => {
        opened.push(tx)
        await look(place, tx)
        return open(index + 1)
      })
      committed.unshift(place)
      return results
    })
  }
  try {
    return await open(0)
  } catch (error) {
    const db = culprit as unknown as Database
    if (committed.length > 0) throw new PartialCommitError(committed, db, error)
    if (error instanceof Problem && places.length > 1)
      throw new Problem(error.kind, `${db.name}: ${error.message}`, { ...error.details, database: db.name })
    throw nameOutage(db, error)
  }
}
