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
    help: 'Runs by status, those that have ended too.',
    labels: ['status'],
    read: ({ runsByStatus }) => runStatuses.map((status) => [{ status }, runsByStatus.get(status) ?? 0]),
  },
  {
    name: 'backfill_job_status',
    help: '1 for the status of each live run of the job, for failed while a run that failed has not been run again, and where none is live for that of the last that ended within 30 days; 0 for the others.',
    labels: ['job_name', 'status'],
    read: ({ jobs }) =>
      jobs.flatMap(({ job, statuses }) =>
        runStatuses.map((status): Series => [{ job_name: job, status }, statuses.has(status) ? 1 : 0]),
      ),
  },
  {
    name: 'backfill_run_quarantined',
    help: 'Rows in quarantine of the live run that is nearest to its limit; where none is live, of those that failed and were not run again.',
    labels: ['job_name'],
    read: ({ jobs }) => jobs.map(({ job, quarantined }) => [{ job_name: job }, quarantined]),
  },
  {
    name: 'backfill_run_quarantine_limit',
    help: 'maxQuarantined of the live run that is nearest to it.',
    labels: ['job_name'],
    read: ({ jobs }) =>
      jobs.flatMap(({ job, maxQuarantined }) => (maxQuarantined === null ? [] : [[{ job_name: job }, maxQuarantined]])),
  },
  ofLive(
    'backfill_run_progress_ratio',
    'Part of the table that live runs have passed over, the least of them.',
    (live) => live.progressRatio,
  ),
  ofLive(
    'backfill_run_rows_per_second',
    'Rows a second that live runs really pass over now, added up.',
    (live) => live.rowsPerSecond,
  ),
  ofLive(
    'backfill_run_rows_per_second_limit',
    'maxRowsPerSecond of live runs, added up; absent where one of them has none.',
    (live) => live.rateLimit,
  ),
  ofLive(
    'backfill_run_eta_seconds',
    'Time left of live runs, the longest; absent while it cannot be told.',
    (live) => live.etaSeconds,
  ),
  ofLive('backfill_run_stragglers', 'Rows that live runs still have to come back to.', (live) => live.stragglers),
  ofLive(
    'backfill_run_verify_rounds',
    'How often the residual check of live runs has found rows and begun again, the most.',
    (live) => live.verifyRounds,
  ),
  ofLive(
    'backfill_run_stalled',
    '1 while a live run of the job should move and has given no sign for a minute; absent where none should move.',
    (live) => (live.stalled === null ? null : Number(live.stalled)),
  ),
  ofLive(
    'backfill_last_checkpoint_timestamp_seconds',
    'When a run that is to be worked on last committed a batch, Unix time.',
    (live) => live.lastCheckpointAt && live.lastCheckpointAt.getTime() / 1000,
  ),
  {
    name: 'backfill_run_ranges',
    help: 'Ranges of live runs, by phase and by what they are doing.',
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
    help: 'Live runs that are held, by the signal that does, schedule, or global-pause.',
    labels: ['job_name', 'signal'],
    read: (snapshot) => eachLive(snapshot, ({ held }) => holders.map((signal) => [{ signal }, held.get(signal) ?? 0])),
  },
  {
    name: 'backfill_slowed',
    help: 'Live runs that are not held but slower than they could be, by what slows them: a signal, rate, start, workers, or a kind of fault.',
    labels: ['job_name', 'signal'],
    read: (snapshot) =>
      eachLive(snapshot, ({ slowed }) => slowers.map((signal) => [{ signal }, slowed.get(signal) ?? 0])),
  },
  {
    name: 'backfill_run_event_timestamp_seconds',
    help: 'When that last happened to a run of the job that is live or ended a moment ago, Unix time.',
    labels: ['job_name', 'event'],
    read: ({ lastEvents }) => lastEvents.map(({ job, event, at }) => [{ job_name: job, event }, at.getTime() / 1000]),
  },
  {
    name: 'backfill_pace_concurrency',
    help: 'Batches in flight on average that the database bears now.',
    labels: [],
    read: ({ pace }) => [[{}, pace.concurrency]],
  },
  {
    name: 'backfill_pace_leases',
    help: 'Ranges that workers hold now, of all runs.',
    labels: [],
    read: ({ pace }) => [[{}, pace.leases]],
  },
  {
    name: 'backfill_pace_target_batch_seconds',
    help: 'Time that a batch should take.',
    labels: [],
    read: ({ pace }) => [[{}, pace.targetSeconds]],
  },
  {
    name: 'backfill_queue_oldest_ticket_age_seconds',
    help: 'How long the ticket that has waited longest could have been taken up; 0 where none waits.',
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
      help: 'WAL that the database cluster has written, by everybody.',
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
