import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { target } from '../support/target.ts'
import { Holds } from './holds.ts'

const everyMs = 10
const { table, column, value } = target

/** What was seen while a case was writing. */
export interface Sights {
  readonly walBytes: number
  /** The longest that a session was seen to hold locks on rows. Milliseconds. */
  readonly longestLock: number
}

/** What it has left behind. */
export interface Traces {
  /** Committed, counted in the table. */
  readonly rows: number
  /** Of the table with its indexes and its TOAST: how many times what it was before. */
  readonly growth: number
}

/** Looks at the database while a case works on it, by one session that is idle most of the time. */
export class Observer {
  readonly #client: pg.Client
  readonly #sessions: string
  readonly #sizeBefore: number
  #walFrom = ''
  #holds = new Holds(0)
  #over = new AbortController()
  #watching: Promise<void> = Promise.resolve()

  private constructor(client: pg.Client, sessions: string, sizeBefore: number) {
    this.#client = client
    this.#sessions = sessions
    this.#sizeBefore = sizeBefore
  }

  static async open(databaseUrl: string, sessions: string): Promise<Observer> {
    const client = new pg.Client({
      connectionString: databaseUrl,
      // A name of evenkeel's, for to sessions of others it would give way: what is measured is how fast it is alone.
      application_name: 'evenkeel bench',
      options: '-c jit=off',
    })
    await client.connect()
    return new Observer(client, sessions, await sizeOf(client))
  }

  async begin(): Promise<void> {
    this.#walFrom = (await one<{ lsn: string }>(this.#client, 'SELECT pg_current_wal_insert_lsn() AS lsn')).lsn
    this.#watching = this.#watch()
    this.#watching.catch(() => {})
  }

  /** As it ends: what is written from here on does not count. */
  async end(): Promise<Sights> {
    const { bytes } = await one<{ bytes: number }>(
      this.#client,
      'SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), $1)::float8 AS bytes',
      [this.#walFrom],
    )
    this.#over.abort()
    await this.#watching
    return { walBytes: bytes, longestLock: this.#holds.longestMs }
  }

  /** Ends what is left of its sessions first: nothing may change while it is counted. */
  async traces(): Promise<Traces> {
    await this.#client.query(
      'SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE application_name = $1',
      [this.#sessions],
    )
    const { rows, wrong } = await one<{ rows: number; wrong: number }>(
      this.#client,
      `SELECT count(${column})::int AS rows, count(*) FILTER (WHERE ${column} <> ${value})::int AS wrong FROM ${table}`,
    )
    if (wrong > 0) throw new Error(`${wrong} rows have a wrong value`)
    return { rows, growth: (await sizeOf(this.#client)) / this.#sizeBefore }
  }

  async close(): Promise<void> {
    this.#over.abort()
    await this.#client.end()
  }

  async #watch(): Promise<void> {
    this.#holds = new Holds(performance.now())
    while (!this.#over.signal.aborted) {
      // A transaction has a number of its own from its first lock on a row to its end.
      const { open } = await one<{ open: string[] }>(
        this.#client,
        `SELECT array(
          SELECT backend_xid::text FROM pg_stat_activity WHERE application_name = $1 AND backend_xid IS NOT NULL
        ) AS open`,
        [this.#sessions],
        'open',
      )
      this.#holds.look(performance.now(), open)
      await sleep(everyMs)
    }
  }
}

async function sizeOf(client: pg.Client): Promise<number> {
  const { bytes } = await one<{ bytes: number }>(
    client,
    'SELECT pg_total_relation_size($1::regclass)::float8 AS bytes',
    [table],
  )
  return bytes
}

async function one<T extends pg.QueryResultRow>(
  client: pg.Client,
  text: string,
  values: readonly unknown[] = [],
  name?: string,
): Promise<T> {
  const { rows } = await client.query<T>({ text, values: [...values], ...(name === undefined ? {} : { name }) })
  return rows[0] as T
}
