import { Worker } from 'node:worker_threads'
import pg from 'pg'
import { foregroundSessions, type LoadOptions, type LoadOrder, type LoadReport } from './support/load-contract.ts'

const now = () => Number(process.hrtime.bigint()) / 1e6

/**
 * The foreground, in a process of its own: transactions like those of `pgbench -N`, some of them on the very table that is
 * backfilled. An open loop: each is due at a time that nothing can put off, and its latency counts from then. A
 * transaction that has to wait for a free connection because all of them are stuck is as late as its user feels it.
 */
class Load {
  readonly #options: LoadOptions
  readonly #idle: pg.Client[]
  readonly #all: number
  #waiting: number[] = []
  #begin = Number.POSITIVE_INFINITY
  #latencies: number[] = []
  #errors = 0
  #drained = () => {}

  constructor(clients: readonly pg.Client[], options: LoadOptions) {
    this.#idle = [...clients]
    this.#all = clients.length
    this.#options = options
  }

  due(at: number): void {
    this.#waiting.push(at)
    this.#next()
  }

  begin(): void {
    this.#begin = now()
  }

  /** Those that are due by now are waited for: leaving out the slowest would be the worst lie of all. */
  async report(): Promise<LoadReport> {
    await new Promise<void>((resolve) => {
      this.#drained = resolve
      this.#next()
    })
    return { latencies: this.#latencies, errors: this.#errors }
  }

  #next(): void {
    while (this.#idle.length > 0 && this.#waiting.length > 0) {
      const client = this.#idle.pop() as pg.Client
      const at = this.#waiting.shift() as number
      this.#run(client, at)
    }
    if (this.#idle.length === this.#all) this.#drained()
  }

  async #run(client: pg.Client, due: number): Promise<void> {
    const failed = await transaction(client, this.#pick()).then(
      () => false,
      () => client.query('ROLLBACK').then(() => true),
    )
    if (due >= this.#begin) {
      this.#latencies.push(now() - due)
      if (failed) this.#errors++
    }
    this.#idle.push(client)
    this.#next()
  }

  #pick(): Change {
    const { target, elsewhere, shareOnTarget } = this.#options
    const { name, rows } = Math.random() < shareOnTarget ? target : elsewhere
    return { table: name, id: 1 + Math.floor(Math.random() * rows), delta: Math.floor(Math.random() * 1000) }
  }
}

interface Change {
  readonly table: string
  readonly id: number
  readonly delta: number
}

async function transaction(client: pg.Client, { table, id, delta }: Change): Promise<void> {
  await client.query('BEGIN')
  await client.query({
    name: `update ${table}`,
    text: `UPDATE ${table} SET paid_cents = paid_cents + $2 WHERE id = $1`,
    values: [id, delta],
  })
  await client.query({ name: `select ${table}`, text: `SELECT paid_cents FROM ${table} WHERE id = $1`, values: [id] })
  await client.query({
    name: 'insert history',
    text: 'INSERT INTO history (row_id, table_name, delta) VALUES ($1, $2, $3)',
    values: [id, table, delta],
  })
  await client.query('COMMIT')
}

async function main(options: LoadOptions): Promise<void> {
  const clients = await Promise.all(
    Array.from({ length: options.connections }, async () => {
      const client = new pg.Client({ connectionString: options.databaseUrl, application_name: foregroundSessions })
      await client.connect()
      return client
    }),
  )
  const load = new Load(clients, options)
  const steadyLoad = new Worker(new URL('./support/steady-load.mjs', import.meta.url), {
    workerData: options,
    execArgv: [],
  })
  steadyLoad.on('message', (due: number) => load.due(due))
  process.on('message', async (order: LoadOrder) => {
    if (order === 'begin') return load.begin()
    await steadyLoad.terminate()
    process.send?.(await load.report())
  })
  process.send?.('ready')
}

await main(JSON.parse(process.argv[2] as string))
