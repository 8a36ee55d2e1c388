import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { every, type Loop } from '../../src/util/every.ts'
import type { Limits, Sample } from './recording.ts'
import type { Service } from './service.ts'

const everyMs = 250
const beatMs = 100

type OfPrimary = Pick<Sample, 'rows' | 'written' | 'load' | 'workers' | 'targetSeconds' | 'cause' | 'hold'>
type OfStandby = Pick<Sample, 'replayed' | 'lag'>
type OfService = Pick<Sample, 'batches' | 'batchedRows' | 'seenLag' | 'probe'>

type Clients = readonly [primary: pg.Client, standby: pg.Client, beat: pg.Client]

/** One snapshot, so that what was done while the run was held is not mistaken for what was done just before. */
const primaryStatement = `
  SELECT (SELECT sum(rows_done)::float8 FROM evenkeel.ranges WHERE run_id = $1) AS rows,
    pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::float8 AS written,
    coalesce((state->'concurrency')::float8, 0) AS load,
    (SELECT count(*)::int FROM evenkeel.ranges WHERE lease_until > clock_timestamp()) AS workers,
    coalesce((state->'targetSeconds')::float8, 0) AS "targetSeconds",
    state->'cause'->>'signal' AS cause,
    (SELECT hold->>'signal' FROM evenkeel.runs WHERE id = $1) AS hold
  FROM evenkeel.pace`

const standbyStatement = `
  SELECT pg_wal_lsn_diff(pg_last_wal_replay_lsn(), '0/0')::float8 AS replayed,
    extract(epoch FROM clock_timestamp() - at)::float8 AS lag
  FROM beat`

/** Looks at a run from the outside, four times a second. */
export class Recorder {
  readonly #clients: Clients
  readonly #service: Service
  readonly #samples: Sample[] = []
  readonly #loops: Loop[] = []
  #beganAt: number | null = null
  #failed: (error: unknown) => void = () => {}
  /** Rejects when something can no longer be looked at. */
  readonly failure = new Promise<never>((_resolve, reject) => {
    this.#failed = reject
  })

  private constructor(clients: Clients, service: Service) {
    this.#clients = clients
    this.#service = service
    this.failure.catch(() => {})
    // Our own measure of the lag: a row that is written ten times a second, and how old it is where the standby shows it.
    this.#loop(beatMs, () => clients[2].query('UPDATE beat SET at = clock_timestamp()'))
  }

  /** Before the run, so that the standby shows a beat of now when it begins. */
  static async open(url: string, standbyUrl: string, service: Service): Promise<Recorder> {
    const clients = await Promise.all([connect(url), connect(standbyUrl), connect(url)])
    return new Recorder(clients, service)
  }

  /** Looks at a run from now on. Resolves with its first row. */
  async follow(id: string): Promise<void> {
    this.#loop(everyMs, () => this.#look(id))
    while (this.#beganAt === null) await Promise.race([sleep(10), this.failure])
  }

  get samples(): readonly Sample[] {
    return this.#samples
  }

  /** Seconds since the run's first row. */
  get now(): number {
    return (performance.now() - (this.#beganAt as number)) / 1000
  }

  /** As the service has them. */
  async limits(): Promise<Limits> {
    const metrics = await this.#service.metrics()
    const limit = (signal: string, which: string) =>
      metrics.get(`backfill_signal_limit{signal="${signal}",limit="${which}"}`) ?? Number.NaN
    return {
      soft: limit('replica-lag', 'soft'),
      hard: limit('replica-lag', 'hard'),
      probe: limit('commit-latency', 'soft'),
    }
  }

  async stop(): Promise<void> {
    await Promise.all(this.#loops.map((loop) => loop.stop()))
    await Promise.all(this.#clients.map((client) => client.end()))
  }

  #loop(intervalMs: number, work: () => Promise<unknown>): void {
    this.#loops.push(every(intervalMs, () => work().then(() => {}, this.#failed)))
  }

  async #look(id: string): Promise<void> {
    const [ofPrimary, ofStandby, ofService] = await Promise.all([
      ask<OfPrimary>(this.#clients[0], primaryStatement, [id]),
      ask<OfStandby>(this.#clients[1], standbyStatement),
      this.#metrics(),
    ])
    if (ofPrimary.rows > 0) this.#beganAt ??= performance.now()
    if (this.#beganAt !== null) this.#samples.push({ at: this.now, ...ofPrimary, ...ofStandby, ...ofService })
  }

  async #metrics(): Promise<OfService> {
    const metrics = await this.#service.metrics()
    return {
      batches: metrics.get('backfill_batch_rows_count{job="readings"}') ?? 0,
      batchedRows: metrics.get('backfill_batch_rows_sum{job="readings"}') ?? 0,
      seenLag: metrics.get('backfill_signal{signal="replica-lag"}') ?? null,
      probe: metrics.get('backfill_signal{signal="commit-latency"}') ?? null,
    }
  }
}

async function connect(url: string): Promise<pg.Client> {
  // Called as evenkeel's own sessions are: who only watches shall not be taken for users that it has to leave time to.
  const client = new pg.Client({ connectionString: url, application_name: 'evenkeel recorder', options: '-c jit=off' })
  client.on('error', () => {})
  await client.connect()
  return client
}

async function ask<R extends object>(client: pg.Client, text: string, values: unknown[] = []): Promise<R> {
  const { rows } = await client.query<R>({ name: 'look', text, values })
  return rows[0] as R
}
