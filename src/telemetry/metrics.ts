import { AggregatorRegistry, Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'

/** What the gauges are read from, each time Prometheus asks. */
export interface MetricSources {
  runsByStatus(): Promise<ReadonlyArray<{ status: string; count: number }>>
  /** Every status there is: one without runs reads 0, it is not absent. */
  readonly statuses: readonly string[]
  queueDepth(): Promise<Readonly<Record<string, number>>>
  /** Of live runs only: the series of an ended one goes away. */
  liveCheckpoints(): Promise<ReadonlyArray<{ job: string; timestamp: number }>>
  /** Runs that are to be worked on, and whether they have stalled. */
  stalled(): Promise<ReadonlyArray<{ job: string; stalled: boolean }>>
  /** The newest reading of each signal, and the strictest limits that live runs set; null is unknown, or no limit. */
  signals(): ReadonlyArray<{ signal: string; value: number | null; soft: number | null; hard: number | null }>
  /** Live runs that are held. */
  held(): Promise<ReadonlyArray<{ job: string; signal: string }>>
  /** What all processes share. */
  pace(): Promise<{ load: number; workers: number; targetSeconds: number }>
  onError(metric: string, error: unknown): void
}

export type Metrics = ReturnType<typeof createMetrics>

/** What `GET /metrics` answers: the process' own metrics once, and those of each database that it works on. */
export interface Exposition {
  readonly contentType: string
  text(): Promise<string>
}

export function createExposition(databases: readonly Metrics[]): Exposition {
  const process = new Registry()
  collectDefaultMetrics({ register: process })
  return {
    contentType: process.contentType,
    async text() {
      const own = process.metrics()
      // Their series differ by the label `database`; each metric's name, help and type stand once.
      const all = await Promise.all(databases.map(({ registry }) => registry.getMetricsAsJSON()))
      return `${await own}\n${await AggregatorRegistry.aggregate(all).metrics()}`
    },
  }
}

/**
 * What one process counts and measures of one database, on a registry of its own; `labels` stand on every series. No label
 * ever holds a run's id.
 */
export function createMetrics(sources: MetricSources, labels: Readonly<Record<string, string>> = {}) {
  const registry = new Registry()
  registry.setDefaultLabels(labels)
  const registers = [registry]
  const rows = new Counter({
    name: 'backfill_rows_total',
    help: 'Rows that batches of this process passed over, by what became of them: done, unmatched, straggler (locked by others), gone, quarantined (fails by itself).',
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
    help: 'Time that pace kept workers waiting between batches, and runs held, by the signal for which it did.',
    labelNames: ['job', 'signal'] as const,
    registers,
  })
  const batchFaults = new Counter({
    name: 'backfill_batch_faults_total',
    help: 'Batches that ended in a fault and changed nothing, by its kind: deadlock, lock-timeout, connection, data and so on.',
    labelNames: ['job', 'fault'] as const,
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
  collected(
    'backfill_run_stalled',
    '1 where a run of the job should move and has given no sign for a minute; 0 while its live runs move, or have a reason not to.',
    ['job'],
    async (gauge) => {
      for (const { job, stalled } of await sources.stalled()) {
        if (stalled) gauge.set({ job }, 1)
        else gauge.inc({ job }, 0)
      }
    },
  )

  collected(
    'backfill_signal',
    'The newest value of each signal, in its own unit; a signal that is unknown has no series here and reads 0 in backfill_signal_known.',
    ['signal'],
    async (gauge) => {
      for (const { signal, value } of sources.signals()) if (value !== null) gauge.set({ signal }, value)
    },
  )
  collected('backfill_signal_known', 'Whether a signal that applies could be read.', ['signal'], async (gauge) => {
    for (const { signal, value } of sources.signals()) gauge.set({ signal }, value === null ? 0 : 1)
  })
  collected(
    'backfill_signal_limit',
    'The limits of each signal: from soft on the pace comes down, from hard on runs are held; the strictest of those that live runs set.',
    ['signal', 'limit'],
    async (gauge) => {
      for (const { signal, soft, hard } of sources.signals()) {
        if (soft !== null) gauge.set({ signal, limit: 'soft' }, soft)
        if (hard !== null) gauge.set({ signal, limit: 'hard' }, hard)
      }
    },
  )
  collected('backfill_held', 'Live runs that are held, by the signal that does.', ['job', 'signal'], async (gauge) => {
    for (const { job, signal } of await sources.held()) gauge.inc({ job, signal })
  })
  collected(
    'backfill_pace',
    'What all processes share: load (batches in flight on average that the database bears now), workers (ranges that are held), target (seconds that a batch should take).',
    ['of'],
    async (gauge) => {
      const { load, workers, targetSeconds } = await sources.pace()
      gauge.set({ of: 'load' }, load)
      gauge.set({ of: 'workers' }, workers)
      gauge.set({ of: 'target_seconds' }, targetSeconds)
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

  return { registry, rows, batchSeconds, batchRows, throttledSeconds, batchFaults, rescues }
}
