import pg from 'pg'
import { type EmbeddedPostgres, startPostgres, startStandby } from '../../src/embedded/index.ts'
import { settings } from '../support/cluster.ts'

/** A primary with the tables, and a standby that streams from it. */
export class Setup {
  readonly #primary: EmbeddedPostgres
  #standby: EmbeddedPostgres | null = null

  private constructor(primary: EmbeddedPostgres) {
    this.#primary = primary
  }

  static async create({ readings, rehearsal }: { readings: number; rehearsal: number }): Promise<Setup> {
    const setup = new Setup(await startPostgres({ settings }))
    try {
      await setup.onPrimary(async (client) => {
        await createTable(client, 'readings', readings)
        await createTable(client, 'rehearsal', rehearsal)
        await client.query('CREATE TABLE beat (at timestamptz NOT NULL)')
        await client.query('INSERT INTO beat VALUES (clock_timestamp())')
        await client.query('CHECKPOINT')
      })
      setup.#standby = await startStandby(setup.#primary, {
        name: 'one',
        // Our own looks there are short, and shall not be cancelled for replay being late already.
        settings: { ...settings, max_standby_streaming_delay: '-1' },
      })
      return setup
    } catch (error) {
      await setup.stop()
      throw error
    }
  }

  get url(): string {
    return this.#primary.url
  }

  get standbyUrl(): string {
    return (this.#standby as EmbeddedPostgres).url
  }

  async onPrimary<T>(work: (client: pg.Client) => Promise<T>): Promise<T> {
    const client = new pg.Client({ connectionString: this.#primary.url, application_name: 'evenkeel bench' })
    await client.connect()
    try {
      return await work(client)
    } finally {
      await client.end()
    }
  }

  /** Where the primary is, in bytes of WAL. */
  async position(): Promise<number> {
    const { rows } = await this.onPrimary((client) =>
      client.query<{ position: number }>("SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::float8 AS position"),
    )
    return rows[0]?.position as number
  }

  async stop(): Promise<void> {
    await this.#standby?.stop()
    await this.#primary.stop()
  }
}

/** Narrow rows, without dead ones, pages marked as all visible. */
async function createTable(client: pg.Client, name: string, rows: number): Promise<void> {
  await client.query(`
    CREATE TABLE ${name} AS
    SELECT id, (id * 7919 % 700) / 10.0::float8 - 30 AS celsius, NULL::float8 AS fahrenheit
    FROM generate_series(1::bigint, ${rows}) AS id`)
  // What it writes would be as much as the run does, at times that differ from recording to recording.
  await client.query(`ALTER TABLE ${name} SET (autovacuum_enabled = off)`)
  await client.query(`ALTER TABLE ${name} ADD PRIMARY KEY (id)`)
  await client.query(`VACUUM (ANALYZE) ${name}`)
}
