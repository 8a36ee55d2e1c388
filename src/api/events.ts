import type { RunEventRow } from '../store/events.ts'
import type { Site } from './deps.ts'

/** An event and the database that has it; null where that has no name. */
export interface PlacedEvent extends RunEventRow {
  readonly database: string | null
}

/** How far the events of a run have been read: the last id in each database. As text `12`, or `eu:12.us:7`. */
export class EventCursor {
  readonly #ids: ReadonlyMap<string | null, string>

  private constructor(ids: ReadonlyMap<string | null, string>) {
    this.#ids = ids
  }

  /** Null where the text is none of these sites'. */
  static read(text: string, sites: readonly Site[]): EventCursor | null {
    if (text === '0') return new EventCursor(new Map())
    if (sites[0]?.name === null) return /^\d{1,18}$/.test(text) ? new EventCursor(new Map([[null, text]])) : null
    const entries = text.split('.').map((entry) => entry.split(':'))
    if (entries.some(([name, id]) => id === undefined || !sites.some((site) => site.name === name))) return null
    return new EventCursor(new Map(entries as Array<[string, string]>))
  }

  in(database: string | null): string {
    return this.#ids.get(database) ?? '0'
  }

  /** The cursor after these events, which are in the order in which each database has them. */
  past(events: readonly PlacedEvent[]): EventCursor {
    return new EventCursor(new Map([...this.#ids, ...events.map(({ database, id }) => [database, id] as const)]))
  }

  get text(): string {
    return [...this.#ids].map(([database, id]) => (database === null ? id : `${database}:${id}`)).join('.')
  }
}

/**
 * Oldest first by each database's own clock. The events of one database stay in the order of their ids, also where its
 * clock was set back between two of them: a page that ends between them must not lose one.
 */
export function mergeEvents(
  lists: ReadonlyArray<{ readonly database: string | null; readonly events: readonly RunEventRow[] }>,
): PlacedEvent[] {
  const queues = lists.map(({ database, events }) => events.map((event) => ({ ...event, database })))
  const merged: PlacedEvent[] = []
  for (;;) {
    let oldest: PlacedEvent[] | undefined
    for (const queue of queues) if (queue[0] && (!oldest?.[0] || queue[0].at < oldest[0].at)) oldest = queue
    const next = oldest?.shift()
    if (!next) return merged
    merged.push(next)
  }
}
