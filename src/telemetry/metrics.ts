import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'

/** What the gauges are read from, each time Prometheus asks. */
export interface MetricSources {
  runsByStatus(): Promise<ReadonlyArray<{ status: string; count: number }>>
  /** Every status there is: one without runs reads 0, it is not absent. */
  readonly statuses: readonly string[]
  queueDepth(): Promise<Readonly<Record<string, number>>>
  /** Of live runs only: the series of an ended one goes away. */
  liveCheckpoints(): Promise<ReadonlyArray<{ job: string; timestamp: number }>>
  onError(metric: string, error: unknown): void
}

export type Metrics = ReturnType<typeof createMetrics>

/** The metrics of one process, on a registry of their own. No label ever holds a run's id. */
export function createMetrics(sources: MetricSources) {
  const registry = new Registry()
  collectDefaultMetrics({ register: registry })
  const registers = [registry]
  const rows = new Counter({
    name: 'backfill_rows_total',
    help: 'Rows that batches of this process passed over, by what became of them: done, unmatched, straggler (locked by others), gone.',
    labelNames: ['job', 'outcome'] as const,
    registers,
  })
  const batchSeconds = new Histogram({
    name: 'backfill_batch_duration_seconds',
    help: 'Execution and commit of one batch, waiting excluded.',
    labelNames: ['job'] as const,
    buckets: [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10],
    registers,
  })
  const batchRows = new Histogram({
    name: 'backfill_batch_rows',
    help: 'Rows that the window of one batch passed over.',
    labelNames: ['job'] as const,
    buckets: [1, 10, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000],
    registers,
  })
  const throttledSeconds = new Counter({
    name: 'backfill_throttled_seconds_total',
    help: 'Time that workers of this process waited between batches, by the signal for which they did. A run that is held has no worker that could wait: see backfill_held.',
    labelNames: ['job', 'signal'] as const,
    registers,
  })
  const batchErrors = new Counter({
    name: 'backfill_batch_errors_total',
    help: 'Batches that failed, by what was made of it: again (same window, smaller), hold (database not available), fail (run stopped).',
    labelNames: ['job', 'verdict'] as const,
    registers,
  })
  const rescues = new Counter({
    name: 'backfill_rescues_total',
    help: 'Ranges taken back from workers that had gone quiet, and tickets replaced that the queue had lost.',
    labelNames: ['kind'] as const,
    registers,
  })
  for (const kind of ['lease', 'ticket']) rescues.inc({ kind }, 0)

  collected('backfill_runs', 'Runs by status.', ['status'], async (gauge) => {
    for (const status of sources.statuses) gauge.set({ status }, 0)
    for (const { status, count } of await sources.runsByStatus()) gauge.set({ status }, count)
  })
  collected('backfill_queue_tickets', 'Tickets on the queue by state.', ['state'], async (gauge) => {
    for (const [state, count] of Object.entries(await sources.queueDepth())) gauge.set({ state }, count)
  })
  collected(
    'backfill_last_checkpoint_timestamp_seconds',
    'When a live run of the job last committed a batch, Unix time.',
    ['job'],
    async (gauge) => {
      for (const { job, timestamp } of await sources.liveCheckpoints()) gauge.set({ job }, timestamp)
    },
  )

  /** A gauge whose series are all read anew, and which has none when it cannot be read: stale is worse than absent. */
  function collected(name: string, help: string, labelNames: string[], read: (gauge: Gauge) => Promise<void>): void {
    new Gauge({
      name,
      help,
      labelNames,
      registers,
      async collect() {
        this.reset()
        try {
          await read(this)
        } catch (error) {
          this.reset()
          sources.onError(name, error)
        }
      },
    })
  }

  return { registry, rows, batchSeconds, batchRows, throttledSeconds, batchErrors, rescues }
}
