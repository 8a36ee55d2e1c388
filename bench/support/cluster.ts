import pg from 'pg'
import { type EmbeddedPostgres, startPostgres } from '../../src/embedded/index.ts'
import { createTables, type TableShape } from './schema.ts'

/** On top of what every embedded cluster has. */
export const settings = {
  // A commit waits for the disk, as it does wherever users are: what a backfill writes, they wait for as well.
  fsync: 'on',
  // The tables fit, and no checkpoint begins by itself in the middle of a case.
  shared_buffers: '1GB',
  max_wal_size: '8GB',
  checkpoint_timeout: '1h',
  // Files of WAL that are new would be filled with zeros, at 40 ms each. Where users are they have been in use before.
  wal_init_zero: 'off',
}

const template = 'bench_template'
const database = 'bench'

/** A temporary Postgres in which every case finds a database that nothing has been done to yet. */
export class Cluster {
  readonly #postgres: EmbeddedPostgres

  private constructor(postgres: EmbeddedPostgres) {
    this.#postgres = postgres
  }

  static async start(shape: TableShape, own: Readonly<Record<string, string>>): Promise<Cluster> {
    const cluster = new Cluster(await startPostgres({ settings: { ...settings, ...own } }))
    try {
      await cluster.#as('postgres', (client) => client.query(`CREATE DATABASE ${template}`))
      await cluster.#as(template, (client) => createTables(client, shape))
      return cluster
    } catch (error) {
      await cluster.stop()
      throw error
    }
  }

  /**
   * A copy of the template, in memory and checkpointed, in place of the last case's database; returns its URL.
   * A database and not only a table: dead rows, what autovacuum was about to do, and a service's own schema go as well.
   */
  async freshDatabase(): Promise<string> {
    await this.#as('postgres', async (client) => {
      await client.query(`DROP DATABASE IF EXISTS ${database} WITH (FORCE)`)
      await client.query(`CREATE DATABASE ${database} TEMPLATE ${template} STRATEGY file_copy`)
    })
    await this.#as(database, async (client) => {
      await client.query(
        "SELECT pg_prewarm(oid) FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'i')",
      )
      await client.query('CHECKPOINT')
    })
    return this.#url(database)
  }

  async version(): Promise<string> {
    const { rows } = await this.#as('postgres', (client) => client.query<{ version: string }>('SELECT version()'))
    return rows[0]?.version ?? 'unknown'
  }

  stop(): Promise<void> {
    return this.#postgres.stop()
  }

  async #as<T>(name: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
    const client = new pg.Client({ connectionString: this.#url(name), application_name: 'bench' })
    await client.connect()
    try {
      return await work(client)
    } finally {
      await client.end()
    }
  }

  #url(name: string): string {
    const url = new URL(this.#postgres.url)
    url.pathname = `/${name}`
    return url.href
  }
}
