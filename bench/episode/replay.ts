import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import pg from 'pg'

const file = new URL('./cpu-quota.mjs', import.meta.url)

/** The replay of a standby, which can be paused, and slowed down. */
export class Replay {
  readonly #client: pg.Client
  readonly #pid: number
  readonly #quota: ChildProcess
  /** Rejects when it can no longer be limited. */
  readonly failure: Promise<never>

  private constructor(client: pg.Client, url: string, pid: number) {
    this.#client = client
    this.#pid = pid
    this.#quota = fork(file, [String(pid)], { execArgv: [], env: { STANDBY_URL: url } })
    this.failure = new Promise((_resolve, reject) => {
      this.#quota.once('exit', (code, by) => {
        // Killed in a way that it cannot answer to: what it may have stopped goes on all the same.
        this.#continue()
        reject(new Error(`the limit on the replay ended (${by ?? code})`))
      })
    })
    this.failure.catch(() => {})
  }

  static async open(url: string): Promise<Replay> {
    const client = new pg.Client({ connectionString: url, application_name: 'evenkeel replay' })
    client.on('error', () => {})
    await client.connect()
    const { rows } = await client.query<{ pid: number }>(
      "SELECT pid FROM pg_stat_activity WHERE backend_type = 'startup'",
    )
    return new Replay(client, url, rows[0]?.pid as number)
  }

  /** From now on it replays so many bytes of WAL a second at most; null: as many as it can. */
  slowTo(bytesPerSecond: number | null): void {
    this.#quota.send({ bytesPerSecond })
  }

  /** As an operator does. */
  async pause(): Promise<void> {
    await this.#client.query('SELECT pg_wal_replay_pause()')
  }

  async resume(): Promise<void> {
    await this.#client.query('SELECT pg_wal_replay_resume()')
  }

  /** Where it is, in bytes of WAL. */
  async position(): Promise<number> {
    const { rows } = await this.#client.query<{ position: number }>(
      "SELECT pg_wal_lsn_diff(pg_last_wal_replay_lsn(), '0/0')::float8 AS position",
    )
    return rows[0]?.position as number
  }

  async close(): Promise<void> {
    if (this.#quota.connected) this.#quota.disconnect()
    if (this.#quota.exitCode === null && this.#quota.signalCode === null) await once(this.#quota, 'exit')
    await this.#client.end()
  }

  #continue(): void {
    try {
      process.kill(this.#pid, 'SIGCONT')
    } catch {
      // The standby is gone.
    }
  }
}
