import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { foregroundSessions } from './load-contract.ts'

const everyMs = 20

/**
 * Longest wait of a foreground session for a lock of the backfill's, straight or behind others that wait for it, in
 * milliseconds. Without such a pair of sessions the last part is not executed, and the look costs next to nothing.
 */
const statement = `
  WITH RECURSIVE edges AS MATERIALIZED (
    SELECT pid, unnest(pg_blocking_pids(pid)) AS blocker FROM pg_stat_activity WHERE wait_event_type = 'Lock'
  ), behind AS (
    SELECT pid, blocker FROM edges
    UNION
    SELECT behind.pid, edges.blocker FROM behind JOIN edges ON edges.pid = behind.blocker
  ), pairs AS MATERIALIZED (
    SELECT DISTINCT behind.pid
    FROM behind
    JOIN pg_stat_activity AS waiting ON waiting.pid = behind.pid AND waiting.application_name = $1
    JOIN pg_stat_activity AS holding ON holding.pid = behind.blocker AND holding.application_name = $2
  )
  SELECT coalesce(max(extract(epoch FROM clock_timestamp() - waitstart)), 0)::float8 * 1000 AS "waitMs"
  FROM pairs JOIN pg_locks USING (pid) WHERE NOT granted`

/** Looks every 20 ms who waits for whom. Shorter waits may escape it; the longest does not. */
export class LockWatch {
  readonly #client: pg.Client
  readonly #peerSessions: string
  #longestMs = 0
  #stopped: Promise<number> | null = null
  readonly #watching: Promise<void>

  private constructor(client: pg.Client, peerSessions: string) {
    this.#client = client
    this.#peerSessions = peerSessions
    this.#watching = this.#watch()
    this.#watching.catch(() => {})
  }

  static async start(databaseUrl: string, peerSessions: string): Promise<LockWatch> {
    const client = new pg.Client({
      connectionString: databaseUrl,
      application_name: 'bench lock watch',
      options: '-c jit=off',
    })
    await client.connect()
    return new LockWatch(client, peerSessions)
  }

  /** Returns the longest wait that was seen, in milliseconds. */
  stop(): Promise<number> {
    this.#stopped ??= this.#end()
    return this.#stopped
  }

  async #end(): Promise<number> {
    try {
      await this.#watching
    } finally {
      await this.#client.end()
    }
    return this.#longestMs
  }

  async #watch(): Promise<void> {
    while (this.#stopped === null) {
      const { rows } = await this.#client.query<{ waitMs: number }>({
        name: 'waits',
        text: statement,
        values: [foregroundSessions, this.#peerSessions],
      })
      this.#longestMs = Math.max(this.#longestMs, rows[0]?.waitMs ?? 0)
      await sleep(everyMs)
    }
  }
}
