import { MappingType } from '@grafana/grafana-foundation-sdk/dashboard'
import { dashboard } from './dashboard.ts'
import { curves, type Description, stat, timeline } from './panel.ts'
import { limitOf, measured, series, shared } from './query.ts'

/** A signal with the limits that it has. `below` leaves out limits in another unit. */
const signal = (
  name: string,
  limits: readonly ('soft' | 'hard')[],
  description: Omit<Description, 'queries' | 'height' | 'noValue'>,
  below = '',
) =>
  curves({
    ...description,
    height: 8,
    noValue: 'not measured',
    queries: [
      { expr: measured(name), legend: `${name} {{database}}` },
      ...limits.map((limit) => ({
        expr: limitOf(limit, name) + below,
        legend: `${limit} limit {{database}}`,
        line: `${limit} limit` as const,
      })),
    ],
  })

const overLimit = ['BackfillWritesOverLimit', 'BackfillSignalUnknown']

export const database = dashboard({
  uid: 'evenkeel-database',
  title: 'evenkeel / Database',
  says: 'The signals that evenkeel reads from the database, their limits, and how the pace reacts.',
  rows: [
    {
      title: 'Now',
      panels: [
        stat({
          title: 'Control schema',
          says: 'Whether the database answers each process. Out of reach: its runs wait, and go on by themselves. Up, with empty panels: its control schema cannot be counted within two seconds.',
          width: 4,
          height: 4,
          unit: 'none',
          loud: true,
          steps: ['red', [1, 'green']],
          noValue: 'unknown',
          alerts: ['BackfillDatabaseUnreachable', 'BackfillNumbersMissing'],
          queries: [{ expr: `min by (job, database) (${series('backfill_database_up')})`, legend: '{{database}}' }],
        }).mappings([
          {
            type: MappingType.ValueToText,
            options: { 0: { text: 'out of reach', color: 'red' }, 1: { text: 'up', color: 'green' } },
          },
        ]),
        stat({
          title: 'Signals unknown',
          says: 'Signals that apply and cannot be read. If one is of replicas, heartbeat or slots, runs are held. Usual causes: a missing right (GRANT pg_monitor), or a replica that is gone.',
          width: 4,
          height: 4,
          unit: 'none',
          loud: true,
          steps: ['green', [1, 'orange']],
          noValue: 'no worker',
          alerts: ['BackfillSignalUnknown'],
          queries: [
            {
              expr: `sum by (job, database) (min by (job, database, signal) (${series('backfill_signal_known')}) == bool 0)`,
              legend: '{{database}}',
            },
          ],
        }),
        stat({
          title: 'WAL now',
          says: 'WAL of all sessions on this server, not of evenkeel alone.',
          width: 4,
          height: 4,
          unit: 'binBps',
          steps: ['text'],
          noValue: 'unknown',
          queries: [
            {
              expr: `max by (job, database) (rate(${series('backfill_wal_bytes_total')}[$__rate_interval]))`,
              legend: '{{database}}',
            },
          ],
        }),
        stat({
          title: 'Load',
          says: 'Batches in flight on average that the pace allows now. 0.5 is one worker for half of its time.',
          width: 4,
          height: 4,
          unit: 'none',
          decimals: 2,
          steps: ['text'],
          noValue: 'unknown',
          queries: [{ expr: shared('backfill_pace_concurrency'), legend: '{{database}}' }],
        }),
        stat({
          title: 'Runs held',
          says: 'Live runs that may not begin a batch now. The Overview shows what holds them.',
          width: 4,
          height: 4,
          unit: 'none',
          steps: ['green', [1, 'orange']],
          noValue: 'no runs',
          alerts: ['BackfillHeldLong', 'BackfillPausedForgotten'],
          queries: [
            {
              expr: `sum by (job, database) (${shared('backfill_held', ['job_name', 'signal'])})`,
              legend: '{{database}}',
            },
          ],
        }),
        stat({
          title: 'Others at work',
          says: 'Foreground sessions that did something within the last second. While there are any, batches get shorter, down to about a millisecond.',
          width: 4,
          height: 4,
          unit: 'none',
          steps: ['text'],
          noValue: 'no worker',
          queries: [{ expr: measured('foreground'), legend: '{{database}}' }],
        }),
      ],
    },
    {
      title: 'Replicas',
      panels: [
        signal('replica-lag', ['soft', 'hard'], {
          title: 'Replica lag',
          says: 'Seconds since the primary wrote what the slowest standby replays now. Resting at the soft limit is right: the replica is used in full. Over the hard limit runs are held: find what else writes, and what keeps the standby from replaying.',
          width: 12,
          unit: 's',
          alerts: overLimit,
        }),
        signal('replica-bytes', ['soft', 'hard'], {
          title: 'Replica bytes',
          says: 'WAL that the slowest standby has yet to replay. Growing with a small lag: much is written at once. Growing with the lag: replay stands still, mostly because of a long query on the standby.',
          width: 12,
          unit: 'bytes',
          alerts: overLimit,
        }),
        signal('replicas-missing', ['hard'], {
          title: 'Replicas missing',
          says: 'Seconds since an expected standby last streamed. Bring it back. If it is gone for good, take it out of REPLICAS, or override the signal for the run.',
          width: 12,
          unit: 's',
          alerts: overLimit,
        }),
        signal('heartbeat', ['soft', 'hard'], {
          title: 'Heartbeat',
          says: 'Lag in seconds of a replica that is read through its own URL (REPLICA_URLS).',
          width: 12,
          unit: 's',
          alerts: overLimit,
        }),
      ],
    },
    {
      title: 'WAL',
      panels: [
        curves({
          title: 'WAL written',
          says: 'Bytes per second written by all sessions on this server. The rise during a run is its batches: full pages after each checkpoint, indexes, and the rows.',
          width: 8,
          height: 8,
          unit: 'binBps',
          noValue: 'unknown',
          queries: [
            {
              expr: `max by (job, database) (rate(${series('backfill_wal_bytes_total')}[$__rate_interval]))`,
              legend: 'written {{database}}',
            },
          ],
        }),
        signal('slots', ['soft', 'hard'], {
          title: 'Slots',
          says: 'WAL kept for the consumer of a replication slot. It fills the disk if the consumer does not come back: find it in pg_replication_slots, and start it or drop the slot.',
          width: 8,
          unit: 'bytes',
          alerts: overLimit,
        }),
        signal('archive', ['soft', 'hard'], {
          title: 'Archive',
          says: 'WAL segments that wait to be archived. Growing: archive_command fails or is too slow; see pg_stat_archiver.',
          width: 8,
          unit: 'none',
          alerts: ['BackfillHeldLong', 'BackfillSignalUnknown'],
        }),
      ],
    },
    {
      title: 'Locks and load',
      panels: [
        signal('blocked', ['soft', 'hard'], {
          title: 'Blocked by us',
          says: 'Samples in a row in which a foreground session waited for a lock of ours. Nearly always 0, because batches are short. Otherwise lower the batch time (`targetBatchSeconds`).',
          width: 6,
          unit: 'none',
          alerts: ['BackfillHeldLong', 'BackfillSignalUnknown'],
        }),
        signal('active', ['soft', 'hard'], {
          title: 'Active sessions per core',
          says: "Active foreground sessions per core of the database's machine. Measured if DATABASE_CORES is set.",
          width: 6,
          unit: 'none',
          alerts: ['BackfillHeldLong', 'BackfillSignalUnknown'],
        }),
        signal('foreground', ['soft'], {
          title: 'Others',
          says: 'Foreground sessions that did something within the last second. From one on, each worker spends at most two fifths of its time in batches.',
          width: 6,
          unit: 'none',
          alerts: ['BackfillSignalUnknown'],
        }),
        signal('commit-latency', ['soft'], {
          title: 'Probe',
          says: 'Time of a tiny transaction as a multiple of its time on a quiet database. The closest measure of what users feel.',
          width: 6,
          unit: 'none',
          alerts: ['BackfillSignalUnknown'],
        }),
      ],
    },
    {
      title: 'Vacuum',
      panels: [
        signal(
          'dead-tuples',
          ['soft', 'hard'],
          {
            title: 'Dead tuples',
            says: 'Dead part of the tables that runs work on. High: vacuum does not come, or cannot remove the dead rows (see the oldest snapshot). A limit given as a number of rows is not drawn.',
            width: 8,
            unit: 'percentunit',
            alerts: ['BackfillHeldLong', 'BackfillSignalUnknown'],
          },
          ' <= 1',
        ),
        signal('vacuum', ['soft'], {
          title: 'Vacuum at work',
          says: '1 while a table that a run works on is vacuumed. The run is slower then, so that vacuum can finish.',
          width: 8,
          unit: 'none',
          alerts: ['BackfillSignalUnknown'],
        }),
        signal('snapshot', ['soft'], {
          title: 'Oldest snapshot',
          says: 'Age of the oldest foreground transaction. While it is open, vacuum removes no row that a backfill replaces. Find it in pg_stat_activity by backend_xmin, and end it or wait.',
          width: 8,
          unit: 's',
          alerts: ['BackfillSignalUnknown'],
        }),
      ],
    },
    {
      title: 'Pace',
      panels: [
        curves({
          title: 'Load and leases',
          says: 'Batches in flight on average that the pace allows, and ranges that workers hold. If the concurrency falls, a signal is over its soft limit: find which one.',
          width: 8,
          height: 8,
          unit: 'none',
          decimals: 2,
          noValue: 'unknown',
          queries: [
            { expr: shared('backfill_pace_concurrency'), legend: 'load {{database}}' },
            { expr: shared('backfill_pace_leases'), legend: 'leases {{database}}' },
          ],
        }),
        curves({
          title: 'Target of the batch time',
          says: 'Target time of a batch: about a millisecond while foreground sessions are active, up to 0.3 s without any.',
          width: 8,
          height: 8,
          unit: 's',
          noValue: 'unknown',
          queries: [{ expr: shared('backfill_pace_target_batch_seconds'), legend: 'target {{database}}' }],
        }),
        timeline({
          title: 'Signals known',
          says: 'Green while every worker can read the signal, red while one cannot. Missing: it does not apply. Red for replicas, heartbeat or slots holds the runs.',
          width: 8,
          height: 8,
          unit: 'none',
          steps: ['red', [1, 'green']],
          noValue: 'no worker',
          alerts: ['BackfillSignalUnknown'],
          queries: [
            {
              expr: `min by (job, database, signal) (${series('backfill_signal_known')})`,
              legend: '{{signal}} {{database}}',
            },
          ],
        }),
      ],
    },
  ],
})
