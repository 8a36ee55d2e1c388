import { Counter, Gauge, type Registry } from 'prom-client'
import { faultNames } from '../core/fault.ts'
import { phaseNames } from '../core/range/phase.ts'
import { type LiveMetrics, type MetricsSnapshot, rangeStates } from '../core/run/metrics-snapshot.ts'
import { runStatuses } from '../core/run/status.ts'
import { holders } from '../core/throttle/hold.ts'
import { throttleReasons } from '../core/throttle/reasons.ts'

/** Labels and value of one series. */
type Series = readonly [Readonly<Record<string, string>>, number]

interface Shared {
  readonly name: string
  readonly help: string
  readonly labels: readonly string[]
  read(snapshot: MetricsSnapshot): readonly Series[]
}

const slowers = [...throttleReasons, ...faultNames]

/** Metrics that every process reads from the control schema, with the same values. */
const shared: readonly Shared[] = [
  {
    name: 'backfill_runs',
    help: 'Runs by status, with those that have ended.',
    labels: ['status'],
    read: ({ runsByStatus }) => runStatuses.map((status) => [{ status }, runsByStatus.get(status) ?? 0]),
  },
  {
    name: 'backfill_job_status',
    help: '1 for the status of each live run of the job. Without a live run: 1 for the status of the last run that ended within 30 days. failed is 1 until the failed run is run again or cancelled. 0 for all others.',
    labels: ['job_name', 'status'],
    read: ({ jobs }) =>
      jobs.flatMap(({ job, statuses }) =>
        runStatuses.map((status): Series => [{ job_name: job, status }, statuses.has(status) ? 1 : 0]),
      ),
  },
  {
    name: 'backfill_run_quarantined',
    help: 'Rows in quarantine of the live run nearest to its limit; without a live run, of failed runs that were not run again.',
    labels: ['job_name'],
    read: ({ jobs }) => jobs.map(({ job, quarantined }) => [{ job_name: job }, quarantined]),
  },
  {
    name: 'backfill_run_quarantine_limit',
    help: 'maxQuarantined of the live run nearest to this limit.',
    labels: ['job_name'],
    read: ({ jobs }) =>
      jobs.flatMap(({ job, maxQuarantined }) => (maxQuarantined === null ? [] : [[{ job_name: job }, maxQuarantined]])),
  },
  ofLive(
    'backfill_run_progress_ratio',
    'Part of the table that live runs have passed over, 0 to 1; the lowest of them.',
    (live) => live.progressRatio,
  ),
  ofLive(
    'backfill_run_rows_per_second',
    'Rows per second that live runs pass over now, by the clock; their sum.',
    (live) => live.rowsPerSecond,
  ),
  ofLive(
    'backfill_run_rows_per_second_limit',
    'Sum of maxRowsPerSecond of live runs; absent if one of them has none.',
    (live) => live.rateLimit,
  ),
  ofLive(
    'backfill_run_eta_seconds',
    'Seconds left of the live run with the most; absent while unknown.',
    (live) => live.etaSeconds,
  ),
  ofLive(
    'backfill_run_stragglers',
    'Stragglers of live runs: rows that are still to be tried again.',
    (live) => live.stragglers,
  ),
  ofLive(
    'backfill_run_verify_rounds',
    'Times that the residual check has found rows and begun again, of the live run with the most.',
    (live) => live.verifyRounds,
  ),
  ofLive(
    'backfill_run_stalled',
    '1 while a live run of the job should move and has given no sign of life for a minute; absent if none should move.',
    (live) => (live.stalled === null ? null : Number(live.stalled)),
  ),
  ofLive(
    'backfill_last_checkpoint_timestamp_seconds',
    'Unix time of the last batch of a run that may be worked on.',
    (live) => live.lastCheckpointAt && live.lastCheckpointAt.getTime() / 1000,
  ),
  {
    name: 'backfill_run_ranges',
    help: 'Ranges of live runs, by phase and state.',
    labels: ['job_name', 'phase', 'state'],
    read: (snapshot) =>
      eachLive(snapshot, (live) =>
        phaseNames.flatMap((phase) =>
          rangeStates.map((state): Series => {
            const found = live.ranges.find((range) => range.phase === phase && range.state === state)
            return [{ phase, state }, found?.count ?? 0]
          }),
        ),
      ),
  },
  {
    name: 'backfill_held',
    help: 'Held live runs, by what holds them: a signal, schedule, or global-pause.',
    labels: ['job_name', 'signal'],
    read: (snapshot) => eachLive(snapshot, ({ held }) => holders.map((signal) => [{ signal }, held.get(signal) ?? 0])),
  },
  {
    name: 'backfill_slowed',
    help: 'Slowed live runs that are not held, by what slows them: a signal, rate, start, workers, or a kind of fault.',
    labels: ['job_name', 'signal'],
    read: (snapshot) =>
      eachLive(snapshot, ({ slowed }) => slowers.map((signal) => [{ signal }, slowed.get(signal) ?? 0])),
  },
  {
    name: 'backfill_run_event_timestamp_seconds',
    help: 'Unix time of the last event of this kind, of a run of the job that is live or ended within 15 minutes.',
    labels: ['job_name', 'event'],
    read: ({ lastEvents }) => lastEvents.map(({ job, event, at }) => [{ job_name: job, event }, at.getTime() / 1000]),
  },
  {
    name: 'backfill_pace_concurrency',
    help: 'Batches in flight on average that the pace allows now.',
    labels: [],
    read: ({ pace }) => [[{}, pace.concurrency]],
  },
  {
    name: 'backfill_pace_leases',
    help: 'Ranges of all runs that workers hold now.',
    labels: [],
    read: ({ pace }) => [[{}, pace.leases]],
  },
  {
    name: 'backfill_pace_target_batch_seconds',
    help: 'Target time of a batch in seconds.',
    labels: [],
    read: ({ pace }) => [[{}, pace.targetSeconds]],
  },
  {
    name: 'backfill_queue_oldest_ticket_age_seconds',
    help: 'Seconds that the oldest waiting ticket has been ready; 0 if none waits.',
    labels: [],
    read: ({ oldestTicketSeconds }) => [[{}, oldestTicketSeconds]],
  },
]

/** One value for each job with a live run; null: no series. */
function ofLive(name: string, help: string, read: (live: LiveMetrics) => number | null): Shared {
  return {
    name,
    help,
    labels: ['job_name'],
    read: (snapshot) =>
      eachLive(snapshot, (live) => {
        const value = read(live)
        return value === null ? [] : [[{}, value]]
      }),
  }
}

function eachLive({ jobs }: MetricsSnapshot, read: (live: LiveMetrics) => readonly Series[]): Series[] {
  return jobs.flatMap(({ job, live }) =>
    live ? read(live).map(([labels, value]): Series => [{ job_name: job, ...labels }, value]) : [],
  )
}

/** The gauges of the metrics snapshot. */
export class RunGauges {
  readonly #gauges: ReadonlyArray<readonly [Shared, Gauge]>
  readonly #wal: Counter

  constructor(registry: Registry) {
    const registers = [registry]
    this.#gauges = shared.map((one) => {
      const { name, help, labels } = one
      return [one, new Gauge({ name, help, labelNames: labels, registers })]
    })
    this.#wal = new Counter({
      name: 'backfill_wal_bytes_total',
      help: 'Bytes of WAL written by the whole database cluster.',
      registers,
    })
  }

  set(snapshot: MetricsSnapshot): void {
    this.#reset()
    for (const [{ read }, gauge] of this.#gauges) for (const [labels, value] of read(snapshot)) gauge.set(labels, value)
    if (snapshot.walBytes !== null) this.#wal.inc(snapshot.walBytes)
  }

  /** Removes all series if there is no snapshot: stale is worse than absent. */
  lose(): void {
    this.#reset()
  }

  #reset(): void {
    // Without labels, a reset leaves a series of 0.
    for (const [{ labels }, gauge] of this.#gauges) labels.length > 0 ? gauge.reset() : gauge.remove()
    this.#wal.remove()
  }
}
