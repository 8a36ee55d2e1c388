import { Counter, Gauge, Histogram, Registry } from 'prom-client'
import { faultNames } from '../core/fault.ts'
import type { MetricsSnapshot } from '../core/run/metrics-snapshot.ts'
import { holders } from '../core/throttle/hold.ts'
import { throttleReasons } from '../core/throttle/reasons.ts'
import { RunGauges } from './run-metrics.ts'

/** Sources of a database's metrics, read at each scrape. */
export interface MetricSources {
  /** Rejects if the database does not answer. */
  ping(): Promise<void>
  snapshot(): Promise<MetricsSnapshot>
  /** Tickets by state. */
  queueDepth(): Promise<Readonly<Record<string, number>>>
  /** The newest reading of each signal, with the strictest limits of live runs. Null: unknown, or no limit. */
  signals(): readonly MeasuredSignal[]
  /** Slots of this process, and how many are in use. */
  slots(): { readonly all: number; readonly busy: number }
  pools(): readonly PoolUse[]
  onError(what: string, error: unknown): void
}

export interface MeasuredSignal {
  readonly signal: string
  readonly value: number | null
  readonly soft: number | null
  readonly hard: number | null
}

/** Connections of one pool. */
export interface PoolUse {
  readonly pool: string
  readonly busy: number
  readonly idle: number
  readonly limit: number
  /** Callers that wait for a connection. */
  readonly waiting: number
}

export type Metrics = ReturnType<typeof createMetrics>

const rowOutcomes = ['done', 'unmatched', 'straggler', 'gone', 'quarantined']
/** A held run waits, too. */
const waits = new Set([...throttleReasons, ...holders])

/**
 * The metrics of one database in one process, in a registry of its own. `labels` are on every series. No label ever
 * holds the id of a run. docs/metrics.md lists all metrics.
 */
export function createMetrics(sources: MetricSources, labels: Readonly<Record<string, string>> = {}) {
  const registry = new Registry()
  registry.setDefaultLabels(labels)
  const registers = [registry]
  const rows = new Counter({
    name: 'backfill_rows_total',
    help: 'Rows that batches of this process passed over, by outcome: done, unmatched, straggler (locked by another session), gone (deleted), quarantined (fails by itself).',
    labelNames: ['job_name', 'outcome'] as const,
    registers,
  })
  const batchSeconds = new Histogram({
    name: 'backfill_batch_duration_seconds',
    help: 'Seconds for execution and commit of one batch, without waits between batches.',
    labelNames: ['job_name'] as const,
    buckets: [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10],
    registers,
  })
  const batchRows = new Histogram({
    name: 'backfill_batch_rows',
    help: 'Rows in the window of one batch.',
    labelNames: ['job_name'] as const,
    buckets: [1, 10, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000],
    registers,
  })
  const throttledSeconds = new Counter({
    name: 'backfill_throttled_seconds_total',
    help: 'Seconds that the pace made workers wait between batches, or held runs, by signal.',
    labelNames: ['job_name', 'signal'] as const,
    registers,
  })
  const batchFaults = new Counter({
    name: 'backfill_batch_faults_total',
    help: 'Batches that ended in a fault and changed nothing, by kind of fault: deadlock, lock-timeout, connection, data and so on.',
    labelNames: ['job_name', 'fault'] as const,
    registers,
  })
  const leasesLost = new Counter({
    name: 'backfill_leases_lost_total',
    help: 'Leases that this process lost at work: the run was stopped or held, or another worker has the range.',
    labelNames: ['job_name'] as const,
    registers,
  })
  const rescues = new Counter({
    name: 'backfill_rescues_total',
    help: 'Ranges taken back after their lease ran out (lease), and lost tickets replaced (ticket).',
    labelNames: ['kind'] as const,
    registers,
  })
  for (const kind of ['lease', 'ticket']) rescues.inc({ kind }, 0)

  const up = gauge('backfill_database_up', '1 while the database answers, else 0.')
  const runs = new RunGauges(registry)
  const tickets = gauge('backfill_queue_tickets', 'Tickets on the queue, by state.', ['state'])
  const signal = gauge(
    'backfill_signal',
    'Newest value of each signal, in its own unit. An unknown signal has no series here and is 0 in backfill_signal_known.',
    ['signal'],
  )
  const signalKnown = gauge('backfill_signal_known', '1 if a signal that applies could be read, else 0.', ['signal'])
  const signalLimit = gauge(
    'backfill_signal_limit',
    'Strictest limits of live runs for each signal: from soft on the pace comes down, from hard on runs are held.',
    ['signal', 'limit'],
  )
  const slots = gauge('backfill_worker_slots', 'Tickets that this process can work on at once; 0 without a worker.')
  const slotsBusy = gauge('backfill_worker_slots_busy', 'Tickets that this process works on now.')
  const connections = gauge('backfill_pool_connections', 'Connections to the database, by pool and state.', [
    'pool',
    'state',
  ])
  const connectionsLimit = gauge('backfill_pool_connections_limit', 'Most connections that the pool may open.', [
    'pool',
  ])
  const waiting = gauge('backfill_pool_waiting', 'Callers that wait for a connection.', ['pool'])

  function gauge<L extends string = never>(name: string, help: string, labelNames: readonly L[] = []): Gauge<L> {
    return new Gauge({ name, help, labelNames, registers })
  }

  /** A database that answers is up, even if it is too slow to be counted. */
  async function readDatabase(): Promise<void> {
    try {
      await sources.ping()
      up.set(1)
    } catch (error) {
      up.set(0)
      sources.onError('the database', error)
    }
  }

  async function readSnapshot(): Promise<void> {
    try {
      runs.set(await sources.snapshot())
    } catch (error) {
      runs.lose()
      sources.onError('the control schema', error)
    }
  }

  async function readTickets(): Promise<void> {
    tickets.reset()
    try {
      for (const [state, count] of Object.entries(await sources.queueDepth())) tickets.set({ state }, count)
    } catch (error) {
      sources.onError('the queue', error)
    }
  }

  function readSignals(): void {
    for (const each of [signal, signalKnown, signalLimit]) each.reset()
    for (const { signal: name, value, soft, hard } of sources.signals()) {
      signalKnown.set({ signal: name }, value === null ? 0 : 1)
      if (value !== null) signal.set({ signal: name }, value)
      if (soft !== null) signalLimit.set({ signal: name, limit: 'soft' }, soft)
      if (hard !== null) signalLimit.set({ signal: name, limit: 'hard' }, hard)
    }
  }

  function readUse(): void {
    const { all, busy } = sources.slots()
    slots.set(all)
    slotsBusy.set(busy)
    for (const pool of sources.pools()) {
      connections.set({ pool: pool.pool, state: 'busy' }, pool.busy)
      connections.set({ pool: pool.pool, state: 'idle' }, pool.idle)
      connectionsLimit.set({ pool: pool.pool }, pool.limit)
      waiting.set({ pool: pool.pool }, pool.waiting)
    }
  }

  const known = new Set<string>()
  return {
    registry,
    rows,
    batchSeconds,
    batchRows,
    throttledSeconds,
    batchFaults,
    leasesLost,
    rescues,
    /** Puts every counter of a job at 0. Prometheus sees no increase in a counter that begins at 1. */
    know(job_name: string): void {
      if (known.has(job_name)) return
      known.add(job_name)
      for (const outcome of rowOutcomes) rows.inc({ job_name, outcome }, 0)
      for (const fault of faultNames) batchFaults.inc({ job_name, fault }, 0)
      for (const signal of waits) throttledSeconds.inc({ job_name, signal }, 0)
      leasesLost.inc({ job_name }, 0)
      batchSeconds.zero({ job_name })
      batchRows.zero({ job_name })
    },
    /** Reads the gauges from their sources. */
    async refresh(): Promise<void> {
      readSignals()
      readUse()
      await Promise.all([readDatabase(), readSnapshot(), readTickets()])
    },
  }
}
