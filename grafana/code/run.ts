import { dashboard } from './dashboard.ts'
import { bars, curves, fixed, gauge, heatmap, stat, timeline } from './panel.ts'
import { inAll, limitOf, measured, ofJob, percentile, perSecond, series, shared } from './query.ts'
import { statusColors } from './status.ts'

/** What the job's live runs say, for each database that they span. */
const ofRun = (metric: string, by: string[] = [], ...matchers: string[]) => shared(metric, by, ofJob, ...matchers)

const ranges = (phase: string) => ofRun('backfill_run_ranges', ['phase', 'state'], `phase=~"${phase}"`)
const status = `${ofRun('backfill_job_status', ['status'])} == 1`
const statusIs = (word: string) => `/^${word}\\b/`
const lag = 'replica-lag|heartbeat'

const colored = Object.entries(statusColors).filter(([, color]) => color !== 'green')

const statusNow = stat({
  title: 'Status',
  says: 'The status of the live run, or of the last one. Failed: `reason` in `GET /runs/:id` says why; after the repair `POST /runs/:id/retry` goes on from where it stopped.',
  width: 4,
  height: 4,
  unit: 'none',
  text: 'name',
  loud: true,
  steps: ['green'],
  noValue: 'no run',
  alerts: ['BackfillRunFailed', 'BackfillRunStalled'],
  queries: [{ expr: status, legend: '{{status}} {{database}}' }],
})
const throttle = timeline({
  title: 'Timeline',
  says: 'The statuses (green while it works), what held it (orange) and what slowed it (yellow). Held for long: look at that signal in the Database dashboard. Slowed by a kind of fault: see docs/faults.md.',
  width: 24,
  height: 8,
  unit: 'none',
  steps: ['green'],
  noValue: 'No run in this time.',
  alerts: ['BackfillHeldLong', 'BackfillPausedForgotten', 'BackfillInTrouble'],
  queries: [
    { expr: status, legend: '{{status}} {{database}}' },
    { expr: `${ofRun('backfill_held', ['signal'])} > 0`, legend: 'held: {{signal}} {{database}}' },
    { expr: `${ofRun('backfill_slowed', ['signal'])} > 0`, legend: 'slowed: {{signal}} {{database}}' },
  ],
})
  .overrideByRegexp('/^held:/', [fixed('orange')])
  .overrideByRegexp('/^slowed:/', [fixed('yellow')])
for (const [word, color] of colored) {
  statusNow.overrideByRegexp(statusIs(word), [fixed(color)])
  throttle.overrideByRegexp(statusIs(word), [fixed(color)])
}

export const run = dashboard({
  uid: 'evenkeel-run',
  title: 'evenkeel / Run',
  says: 'One job: how far its run is, how fast it goes, what holds it, and what was set aside.',
  ofOneJob: true,
  rows: [
    {
      title: 'Now',
      panels: [
        statusNow,
        gauge({
          title: 'Progress',
          says: 'Part of the table that the run has passed over. At 100 % stragglers and the residual check may still follow. The run has succeeded when the status says so.',
          width: 4,
          height: 4,
          unit: 'percentunit',
          decimals: 1,
          max: 1,
          steps: ['blue'],
          noValue: 'not live',
          queries: [{ expr: ofRun('backfill_run_progress_ratio'), legend: '{{database}}' }],
        }),
        stat({
          title: 'Time left',
          says: 'At the speed of the whole run, with the times that it was held. Empty while unknown: at the start, or while nothing moves.',
          width: 4,
          height: 4,
          unit: 's',
          steps: ['text'],
          noValue: 'not known',
          queries: [{ expr: ofRun('backfill_run_eta_seconds'), legend: '{{database}}' }],
        }),
        stat({
          title: 'Held or slowed by',
          says: 'What is in its way now. Held: nothing is written until that is over. Slowed: it goes on with waits.',
          width: 4,
          height: 4,
          unit: 'none',
          text: 'name',
          stacked: true,
          steps: ['orange'],
          noValue: 'nothing',
          alerts: ['BackfillHeldLong', 'BackfillPausedForgotten', 'BackfillInTrouble'],
          queries: [
            { expr: `${ofRun('backfill_held', ['signal'])} > 0`, legend: 'held: {{signal}} {{database}}' },
            { expr: `${ofRun('backfill_slowed', ['signal'])} > 0`, legend: 'slowed: {{signal}} {{database}}' },
          ],
        }),
        stat({
          title: 'Since the last batch',
          says: 'Time since the last batch of a run that may be worked on. Long while it is held or waits for its schedule. Otherwise no worker works on it.',
          width: 4,
          height: 4,
          unit: 's',
          steps: ['green', [60, 'orange']],
          noValue: 'not at work',
          alerts: ['BackfillRunStalled'],
          queries: [
            { expr: `time() - ${ofRun('backfill_last_checkpoint_timestamp_seconds')}`, legend: '{{database}}' },
          ],
        }),
        stat({
          title: 'Stalled',
          says: 'Whether it should move and has given no sign of life for a minute. Then no worker works on it: check that there are workers, and that they reach the database and the queue.',
          width: 4,
          height: 4,
          unit: 'bool_yes_no',
          loud: true,
          steps: ['green', [1, 'red']],
          noValue: 'not at work',
          alerts: ['BackfillRunStalled', 'BackfillNoWorkers'],
          queries: [{ expr: ofRun('backfill_run_stalled'), legend: '{{database}}' }],
        }),
      ],
    },
    {
      title: 'Progress',
      panels: [
        curves({
          title: 'Passed over',
          says: 'Part of the table over time. A flat piece is a hold, a pause or a stall: the timeline below says which.',
          width: 8,
          height: 8,
          unit: 'percentunit',
          max: 1,
          noValue: 'no live run',
          queries: [{ expr: ofRun('backfill_run_progress_ratio'), legend: 'passed over {{database}}' }],
        }),
        curves({
          title: 'Rate',
          says: 'Rows per second that the run passes over, and `maxRowsPerSecond` if it has one. At the line: raise it with PATCH if the database has room. Below: the timeline says what slows it.',
          width: 8,
          height: 8,
          unit: 'short',
          noValue: 'no live run',
          queries: [
            { expr: ofRun('backfill_run_rows_per_second'), legend: 'rows a second {{database}}' },
            {
              expr: ofRun('backfill_run_rows_per_second_limit'),
              legend: 'limit {{database}}',
              line: 'hard limit',
            },
          ],
        }),
        curves({
          title: 'Estimate',
          says: 'The time left, over time. It falls as fast as time passes if all is well, and rises while the run is held.',
          width: 8,
          height: 8,
          unit: 's',
          noValue: 'not known',
          queries: [{ expr: ofRun('backfill_run_eta_seconds'), legend: 'time left {{database}}' }],
        }),
      ],
    },
    {
      title: 'Throttle',
      panels: [
        throttle,
        curves({
          title: 'Lag',
          says: 'How far the slowest replica is behind, where the pace comes down (soft) and where the run is held (hard). Resting at the soft limit is right: the replica is used in full. Over the hard limit while rows are written: the pace does not work.',
          width: 12,
          height: 8,
          unit: 's',
          noValue: 'No replica is measured.',
          alerts: ['BackfillWritesOverLimit', 'BackfillSignalUnknown'],
          queries: [
            { expr: measured(lag), legend: '{{signal}} {{database}}' },
            { expr: limitOf('soft', lag), legend: '{{signal}} soft limit {{database}}', line: 'soft limit' },
            { expr: limitOf('hard', lag), legend: '{{signal}} hard limit {{database}}', line: 'hard limit' },
          ],
        }),
        curves({
          title: 'Waiting by reason',
          says: 'How many workers wait between batches, or runs are held, on average. 1 is one of them all the time. Each curve is one reason.',
          width: 6,
          height: 8,
          unit: 'none',
          stacked: true,
          noValue: 'nothing waits',
          queries: [
            {
              expr: `${perSecond('backfill_throttled_seconds_total', ['signal'], ofJob)} > 0`,
              legend: '{{signal}} {{database}}',
            },
          ],
        }),
        bars({
          title: 'Throttled time by reason',
          says: 'The sum of all waits of workers and all holds in the selected time. The longest is the reason that is worth your time.',
          width: 6,
          height: 8,
          unit: 's',
          steps: ['blue'],
          noValue: 'nothing waited',
          queries: [
            {
              expr: `sort_desc(${inAll('backfill_throttled_seconds_total', ['signal'], ofJob)} > 0)`,
              legend: '{{signal}} {{database}}',
            },
          ],
        }),
      ],
    },
    {
      title: 'Batches',
      panels: [
        curves({
          title: 'Batch time',
          says: "Execution and commit of a batch, and its target time (dashed): about a millisecond while foreground sessions are active, up to 0.3 s without any. Far above for long: the table's indexes, triggers or locks are slow.",
          width: 8,
          height: 8,
          unit: 's',
          noValue: 'no batches',
          queries: [
            { expr: percentile(0.5, 'backfill_batch_duration_seconds', [], ofJob), legend: 'half below {{database}}' },
            {
              expr: percentile(0.9, 'backfill_batch_duration_seconds', [], ofJob),
              legend: 'nine of ten below {{database}}',
            },
            { expr: shared('backfill_pace_target_batch_seconds'), legend: 'target {{database}}', line: 'target' },
          ],
        }),
        heatmap({
          title: 'Batch times',
          says: 'How many batches took how long. One narrow band is right. A second band far above is batches that wait, mostly for locks or the disk.',
          width: 8,
          height: 8,
          unit: 's',
          noValue: 'no batches',
          queries: [
            {
              expr: `sum by (le) (increase(${series('backfill_batch_duration_seconds_bucket', ofJob)}[$__rate_interval]))`,
              legend: '{{le}}',
            },
          ],
        }),
        curves({
          title: 'Batch size',
          says: 'Rows that a batch passes over. The number changes so that the batch time stays at its target. If it is at the lower bound of `batchSize` and still too slow, single rows are costly.',
          width: 8,
          height: 8,
          unit: 'short',
          noValue: 'no batches',
          queries: [
            { expr: percentile(0.5, 'backfill_batch_rows', [], ofJob), legend: 'half below {{database}}' },
            { expr: percentile(0.9, 'backfill_batch_rows', [], ofJob), legend: 'nine of ten below {{database}}' },
          ],
        }),
      ],
    },
    {
      title: 'What was left aside',
      panels: [
        curves({
          title: 'Rows by outcome',
          says: 'Rows passed over per second: `done`, `unmatched` (nothing to do), `straggler` (locked by another session, done later), `gone` (deleted meanwhile), `quarantined`.',
          width: 6,
          height: 8,
          unit: 'short',
          stacked: true,
          noValue: 'no rows',
          queries: [
            { expr: `${perSecond('backfill_rows_total', ['outcome'], ofJob)} > 0`, legend: '{{outcome}} {{database}}' },
          ],
        }),
        curves({
          title: 'Stragglers',
          says: 'Rows that another session had locked, and that the run tries again. They go down by themselves. If not, a session keeps its locks: find the oldest transactions.',
          width: 6,
          height: 8,
          unit: 'short',
          decimals: 0,
          noValue: 'no live run',
          alerts: ['BackfillRunDoesNotEnd'],
          queries: [{ expr: ofRun('backfill_run_stragglers'), legend: 'to come back to {{database}}' }],
        }),
        curves({
          title: 'Quarantine',
          says: 'Rows that could not be changed, and `maxQuarantined`: with one more the run fails. `GET /runs/:id/quarantine` has each with its error. If they are all alike, the job is wrong: pause it.',
          width: 6,
          height: 8,
          unit: 'short',
          decimals: 0,
          noValue: 'no run',
          alerts: ['BackfillQuarantineGrowing', 'BackfillQuarantineNearLimit'],
          queries: [
            { expr: ofRun('backfill_run_quarantined'), legend: 'in quarantine {{database}}' },
            { expr: ofRun('backfill_run_quarantine_limit'), legend: 'limit {{database}}', line: 'hard limit' },
          ],
        }),
        curves({
          title: 'Faults',
          says: 'Batches that ended in a fault and changed nothing, by kind. All but `job` are tried again: docs/faults.md says how.',
          width: 6,
          height: 8,
          unit: 'ops',
          stacked: true,
          noValue: 'no faults',
          alerts: ['BackfillInTrouble'],
          queries: [
            {
              expr: `${perSecond('backfill_batch_faults_total', ['fault'], ofJob)} > 0`,
              legend: '{{fault}} {{database}}',
            },
          ],
        }),
      ],
    },
    {
      title: 'Ranges',
      panels: [
        curves({
          title: 'Ranges of keys',
          says: 'The ranges of the table: `done`, `leased` (a worker has it), `queued` (its ticket is out), `waiting` (until a time), `idle`. None leased while some are queued: no worker is free.',
          width: 8,
          height: 8,
          unit: 'none',
          decimals: 0,
          stacked: true,
          noValue: 'no live run',
          alerts: ['BackfillNoWorkers'],
          queries: [{ expr: `${ranges('keys')} > 0`, legend: '{{state}} {{database}}' }],
        }),
        curves({
          title: 'Ranges of stragglers and of the residual check',
          says: 'What follows the keys: rows that were locked, then the check that nothing is left. If ranges stay open for long after the keys are done, something keeps the run from its end.',
          width: 8,
          height: 8,
          unit: 'none',
          decimals: 0,
          stacked: true,
          noValue: 'no live run',
          alerts: ['BackfillRunDoesNotEnd'],
          queries: [{ expr: `${ranges('stragglers|residual|pages')} > 0`, legend: '{{phase}} {{state}} {{database}}' }],
        }),
        curves({
          title: 'Checks begun again',
          says: 'Times that the residual check has found rows and begun again. It keeps rising if something writes rows that match the predicate, such as an application that does not fill the column yet.',
          width: 4,
          height: 8,
          unit: 'none',
          decimals: 0,
          noValue: 'no live run',
          alerts: ['BackfillRunDoesNotEnd'],
          queries: [{ expr: ofRun('backfill_run_verify_rounds'), legend: 'begun again {{database}}' }],
        }),
        curves({
          title: 'Leases lost',
          says: 'Leases that workers lost at work. Expected at a pause or a hold. Often at other times: workers lack CPU, or the network is bad.',
          width: 4,
          height: 8,
          unit: 'ops',
          noValue: 'none',
          queries: [{ expr: perSecond('backfill_leases_lost_total', [], ofJob), legend: 'lost {{database}}' }],
        }),
      ],
    },
  ],
})
