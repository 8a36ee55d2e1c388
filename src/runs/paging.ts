import { z } from 'zod'
import { Problem } from '../core/errors.ts'
import type { Database } from './database.ts'
import { queryAll, type Unreachable } from './databases.ts'

/** An entry of a run's list in the order of ids: an event, or a quarantined row. */
export interface Listed {
  readonly id: string
  readonly at: Date
}

/** An entry and its database; null for a database without a name. */
export type Placed<T extends Listed> = T & { readonly database: string | null }

/** The text form of a cursor in a request. */
export const pageAfter = z
  .string()
  .max(5000)
  .regex(/^\d{1,18}$|^[a-z][\w-]*:\d{1,18}(\.[a-z][\w-]*:\d{1,18})*$/, 'must be the next of a previous page')
  .default('0')
  .describe('`next` of the previous page')

/** How far a list has been read: the last id in each database. As text `12`, or `eu:12.us:7`. */
export class PageCursor {
  readonly #ids: ReadonlyMap<string | null, string>

  private constructor(ids: ReadonlyMap<string | null, string>) {
    this.#ids = ids
  }

  /** Throws a Problem if the text does not match these databases. */
  static read(text: string, databases: readonly Database[]): PageCursor {
    if (text === '0') return new PageCursor(new Map())
    const entries = text.split('.').map((entry) => entry.split(':'))
    if (databases[0]?.name === null && /^\d{1,18}$/.test(text)) return new PageCursor(new Map([[null, text]]))
    if (entries.every(([name, id]) => id !== undefined && databases.some((db) => db.name === name)))
      return new PageCursor(new Map(entries as Array<[string, string]>))
    throw new Problem(
      'invalid',
      `The parameter after (${JSON.stringify(text)}) does not match the databases of this service. Send the value of next from the page before.`,
    )
  }

  in(database: string | null): string {
    return this.#ids.get(database) ?? '0'
  }

  /** The cursor after these entries, which are in the order of their ids within each database. */
  past(items: ReadonlyArray<Placed<Listed>>): PageCursor {
    return new PageCursor(new Map([...this.#ids, ...items.map(({ database, id }) => [database, id] as const)]))
  }

  get text(): string {
    return [...this.#ids].map(([database, id]) => (database === null ? id : `${database}:${id}`)).join('.')
  }
}

/** One page merged from these databases. `next` is the cursor of the following page; null on the last one. */
export async function readPage<T extends Listed>(
  databases: readonly Database[],
  cursor: PageCursor,
  limit: number,
  list: (db: Database, after: string) => Promise<T[]>,
): Promise<{ items: Array<Placed<T>>; next: string | null; away: readonly Unreachable[] }> {
  const { answers, away } = await queryAll(databases, (db) => list(db, cursor.in(db.name)))
  const lists = answers.map(({ db, answer }) => ({ database: db.name, items: answer }))
  const items = mergeLists(lists).slice(0, limit)
  return { items, next: items.length === limit ? cursor.past(items).text : null, away }
}

/**
 * Merges lists by time, oldest first, on each database's own clock. Entries of one database stay in the order of their
 * ids, even if its clock was set back between two of them: a page that ends there must not lose one.
 */
function mergeLists<T extends Listed>(
  lists: ReadonlyArray<{ readonly database: string | null; readonly items: readonly T[] }>,
): Array<Placed<T>> {
  const queues = lists.map(({ database, items }) => items.map((item) => ({ ...item, database })))
  const merged: Array<Placed<T>> = []
  for (;;) {
    let oldest: Array<Placed<T>> | undefined
    for (const queue of queues) if (queue[0] && (!oldest?.[0] || queue[0].at < oldest[0].at)) oldest = queue
    const next = oldest?.shift()
    if (!next) return merged
    merged.push(next)
  }
}
