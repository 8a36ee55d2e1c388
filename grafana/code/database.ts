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
  says: 'What evenkeel feels of the database, where its limits are, and what it makes of them.',
  rows: [
    {
      title: 'Now',
      panels: [
        stat({
          title: 'Control schema',
          says: 'Whether the database answers each process. Out of reach: its runs wait, and go on by themselves. Up, and empty panels: its control schema cannot be counted within two seconds.',
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
          says: 'Signals that apply and cannot be read. One of replicas, heartbeat or slots holds the runs. Mostly a right is missing (GRANT pg_monitor) or a replica is gone.',
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
          says: 'By everybody on this server, not by evenkeel alone.',
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
          says: 'Batches in flight on average that the database bears now; 0.5 is one worker half of its time.',
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
          says: 'Live runs of which no batch may begin now. The Overview says by what.',
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
          says: 'Sessions of others that did something within the last second. With company, batches are brought down towards a millisecond.',
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
          says: 'Seconds since the primary wrote what the slowest standby replays now. At rest on the soft limit the replica is used in full, which is right. Over the hard one runs are held: what else writes, and what keeps the standby from replaying?',
          width: 12,
          unit: 's',
          alerts: overLimit,
        }),
        signal('replica-bytes', ['soft', 'hard'], {
          title: 'Replica bytes',
          says: 'WAL that the slowest standby has still to replay. Growing with a small lag: a lot is written at once. Growing with the lag: replay stands still, mostly for a long query on the standby.',
          width: 12,
          unit: 'bytes',
          alerts: overLimit,
        }),
        signal('replicas-missing', ['hard'], {
          title: 'Replicas missing',
          says: 'Seconds for which a standby that should stream does not. Bring it back; if it is gone for good, take it out of REPLICAS, or override the signal for the run.',
          width: 12,
          unit: 's',
          alerts: overLimit,
        }),
        signal('heartbeat', ['soft', 'hard'], {
          title: 'Heartbeat',
          says: 'Seconds by which a replica that is read by its own URL is behind (REPLICA_URLS).',
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
          says: 'Bytes a second, by everybody on this server. What rises with a run is what its batches write: full pages after each checkpoint, indexes, and the rows.',
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
          says: 'WAL kept for the consumer of a replication slot. It fills the disk if the consumer does not come back: find it in pg_replication_slots, wake it or drop the slot.',
          width: 8,
          unit: 'bytes',
          alerts: overLimit,
        }),
        signal('archive', ['soft', 'hard'], {
          title: 'Archive',
          says: 'WAL segments waiting to be archived. Growing: archive_command fails or is too slow; see pg_stat_archiver.',
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
          says: 'Looks in a row at which a session of somebody else waited for a lock of ours. It should be 0 nearly always: batches are short. Otherwise take the batch time down (`targetBatchSeconds`).',
          width: 6,
          unit: 'none',
          alerts: ['BackfillHeldLong', 'BackfillSignalUnknown'],
        }),
        signal('active', ['soft', 'hard'], {
          title: 'Active sessions per core',
          says: "Sessions of others at work, per core of the database's machine. Measured where DATABASE_CORES is set.",
          width: 6,
          unit: 'none',
          alerts: ['BackfillHeldLong', 'BackfillSignalUnknown'],
        }),
        signal('foreground', ['soft'], {
          title: 'Others',
          says: "Sessions of others that did something within the last second. From one on the load stays at two fifths of each worker's time.",
          width: 6,
          unit: 'none',
          alerts: ['BackfillSignalUnknown'],
        }),
        signal('commit-latency', ['soft'], {
          title: 'Probe',
          says: 'What a tiny transaction takes, in times of what it takes when it is quiet: the nearest thing to what users feel.',
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
            says: 'Dead part of the tables that are worked on. High: vacuum does not come, or cannot remove them (see the snapshot beside). A limit that is given as a number of rows is not drawn.',
            width: 8,
            unit: 'percentunit',
            alerts: ['BackfillHeldLong', 'BackfillSignalUnknown'],
          },
          ' <= 1',
        ),
        signal('vacuum', ['soft'], {
          title: 'Vacuum at work',
          says: '1 while a table that is worked on is being vacuumed. The run goes slower then, so that vacuum gets through.',
          width: 8,
          unit: 'none',
          alerts: ['BackfillSignalUnknown'],
        }),
        signal('snapshot', ['soft'], {
          title: 'Oldest snapshot',
          says: 'Age of the oldest transaction of others: while it is open, vacuum removes nothing that a backfill replaces. Find it in pg_stat_activity by backend_xmin and end it, or wait.',
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
          says: 'Batches in flight on average that the pace allows, and ranges that workers hold. A load that falls says that a signal asks for less: see which one is over its soft limit.',
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
          says: 'How long a batch should take: towards a millisecond while others are at work, up to 0.3 s while nobody is there.',
          width: 8,
          height: 8,
          unit: 's',
          noValue: 'unknown',
          queries: [{ expr: shared('backfill_pace_target_batch_seconds'), legend: 'target {{database}}' }],
        }),
        timeline({
          title: 'Signals known',
          says: 'Green while every worker can read the signal, red while one cannot. Not here: it does not apply. Red for replicas, heartbeat or slots holds the runs.',
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
