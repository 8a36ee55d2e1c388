import { dashboard } from './dashboard.ts'
import { bars, curves, fixed, judged, runbookUrl, stat, timeline } from './panel.ts'
import { alerts, own, perSecond, processSeries, series, shared } from './query.ts'
import { statusColors } from './status.ts'
import { type Column, table } from './table.ts'

const place: readonly Column[] = [
  { field: 'database', name: 'Database', width: 110 },
  { field: 'job', name: 'Service', width: 130 },
]

const job: Column = {
  field: 'job_name',
  name: 'Job',
  link: {
    title: 'The run',
    url: '/d/evenkeel-run?var-job_name=${__value.text}&var-service=${__data.fields.Service}&${database:queryparam}&${datasource:queryparam}&${__url_time_range}',
  },
}

const perJob = ['job_name']
const jobsNow = `${shared('backfill_job_status', ['job_name', 'status'], 'status!~"succeeded|cancelled"')} == 1`

/** A limit of dead tuples may be a number of rows, where the signal itself is a part of the table. */
const comparable = 'signal!="dead-tuples"'

const inState = (state: string, metric: string) =>
  `label_replace(${shared(metric, ['job_name', 'signal'])} > 0, "state", "${state}", "", "")`

export const overview = dashboard({
  uid: 'evenkeel-overview',
  title: 'evenkeel / Overview',
  says: 'Whether anything needs you, which jobs run, and what holds them.',
  rows: [
    {
      title: 'What needs you',
      panels: [
        stat({
          title: 'Alerts that fire',
          says: 'Green: nothing needs you. Red: look now. Orange: look today. The list below has each alert with its runbook. It is also 0 if Prometheus has not loaded the rules.',
          width: 6,
          height: 4,
          unit: 'none',
          loud: true,
          text: 'value_and_name',
          noValue: 'unknown',
          steps: ['green', [1, 'red']],
          queries: [
            {
              expr: `count(${alerts('ALERTS', 'alertstate="firing"', 'severity="critical"')}) or vector(0)`,
              legend: 'critical',
            },
            {
              expr: `count(${alerts('ALERTS', 'alertstate="firing"', 'severity="warning"')}) or vector(0)`,
              legend: 'warning',
            },
          ],
        }).overrideByName('warning', [judged(['green', [1, 'orange']])]),
        stat({
          title: 'Failed',
          says: 'Jobs with a failed run that was neither run again nor cancelled. Nothing is lost. `reason` says why; after the repair `POST /runs/:id/retry` goes on from where it stopped.',
          width: 3,
          height: 4,
          unit: 'none',
          loud: true,
          steps: ['green', [1, 'red']],
          noValue: 'no runs',
          alerts: ['BackfillRunFailed'],
          queries: [{ expr: `sum(${shared('backfill_job_status', perJob, 'status="failed"')})` }],
        }),
        stat({
          title: 'Stalled',
          says: 'Jobs with a run that should move and has given no sign of life for a minute: no worker works on it. Check that there are workers, and that they reach the database and the queue.',
          width: 3,
          height: 4,
          unit: 'none',
          loud: true,
          steps: ['green', [1, 'red']],
          noValue: 'none at work',
          alerts: ['BackfillRunStalled'],
          queries: [{ expr: `sum(${shared('backfill_run_stalled', perJob)})` }],
        }),
        stat({
          title: 'Rows in quarantine',
          says: 'Rows that could not be changed and were set aside, of live runs and of the last run of each job. `GET /runs/:id/quarantine` says which and why. Retry or discard them.',
          width: 3,
          height: 4,
          unit: 'short',
          loud: true,
          steps: ['green', [1, 'orange']],
          noValue: 'no runs',
          alerts: ['BackfillQuarantineGrowing', 'BackfillQuarantineNearLimit'],
          queries: [{ expr: `sum(${shared('backfill_run_quarantined', perJob)})` }],
        }),
        stat({
          title: 'Worker slots',
          says: 'Tickets that all workers together can work on at once. 0: no run moves. Start a process with ROLE=worker.',
          width: 3,
          height: 4,
          unit: 'none',
          loud: true,
          steps: ['red', [1, 'green']],
          noValue: 'none',
          alerts: ['BackfillNoWorkers'],
          queries: [{ expr: `sum(${series('backfill_worker_slots')})` }],
        }),
        stat({
          title: 'Processes down',
          says: 'Targets of the scrape that do not answer. One of several: the others take over its ranges. All of them: nothing moves, and everything below is unknown.',
          width: 3,
          height: 4,
          unit: 'none',
          loud: true,
          steps: ['green', [1, 'orange']],
          noValue: 'none scraped',
          alerts: ['BackfillDown'],
          queries: [{ expr: `sum(${processSeries('up')} == bool 0)` }],
        }),
        stat({
          title: 'Databases out of reach',
          says: 'Databases whose control schema at least one process cannot read. Their runs wait and go on by themselves. Their metrics are absent until then.',
          width: 3,
          height: 4,
          unit: 'none',
          loud: true,
          steps: ['green', [1, 'red']],
          noValue: 'unknown',
          alerts: ['BackfillDatabaseUnreachable'],
          queries: [{ expr: `sum(min by (job, database) (${series('backfill_database_up')}) == bool 0)` }],
        }),
        table({
          title: 'Firing alerts',
          says: 'Alerts that fire, with their start. A click on an alert opens its runbook: symptom, how to look, what to do, when to stop.',
          width: 14,
          height: 8,
          noValue: 'Nothing needs you.',
          sortBy: 'Severity',
          columns: [
            {
              field: 'severity',
              name: 'Severity',
              width: 90,
              words: { critical: 'red', warning: 'orange' },
            },
            {
              field: 'alertname',
              name: 'Alert',
              link: { title: 'Runbook', url: runbookUrl('${__value.raw}'), elsewhere: true },
            },
            job,
            { field: 'signal', name: 'By', width: 120 },
            { field: 'Value', name: 'Since', width: 130, unit: 'dateTimeFromNow' },
            ...place,
          ],
          queries: [
            {
              expr: `max by (severity, alertname, job_name, signal, database, job) (${alerts('ALERTS_FOR_STATE')} * 1000 and ignoring (alertstate) ${alerts('ALERTS', 'alertstate="firing"')})`,
            },
          ],
        }),
        table({
          title: 'Held or slowed now',
          says: 'Held: no batch begins until the signal is well below its limit, the schedule begins, or an operator resumes. Slowed: the run goes on, with waits between batches. Both are the normal work of the pace. Act only if they last.',
          width: 10,
          height: 8,
          noValue: 'No run is held or slowed.',
          alerts: ['BackfillHeldLong', 'BackfillPausedForgotten', 'BackfillInTrouble'],
          sortBy: 'State',
          columns: [
            { field: 'state', name: 'State', width: 80, words: { held: 'orange', slowed: 'yellow' } },
            job,
            { field: 'signal', name: 'By' },
            { field: 'Value', name: 'Runs', width: 60 },
            ...place,
          ],
          queries: [{ expr: `${inState('held', 'backfill_held')} or ${inState('slowed', 'backfill_slowed')}` }],
        }),
      ],
    },
    {
      title: 'Jobs',
      panels: [
        table({
          title: 'Jobs',
          says: 'Jobs with a live run, and jobs whose last run failed. Progress is the part of the table that was passed over. A click on a job opens its run.',
          width: 18,
          height: 9,
          noValue: 'No run is live, and none has failed.',
          alerts: ['BackfillRunFailed', 'BackfillRunStalled'],
          sortBy: 'Status',
          columns: [
            job,
            { field: 'status', name: 'Status', width: 90, words: statusColors },
            { field: 'Value #B', name: 'Progress', unit: 'percentunit', decimals: 1, share: true },
            { field: 'Value #C', name: 'Rows/s', width: 80, unit: 'short' },
            { field: 'Value #D', name: 'Time left', width: 95, unit: 's' },
            { field: 'Value #E', name: 'Stragglers', width: 90, unit: 'short' },
            { field: 'Value #F', name: 'Quarantine', width: 90, unit: 'short' },
            { field: 'Value #G', name: 'Last batch', width: 130, unit: 'dateTimeFromNow' },
            ...place,
          ],
          queries: [
            { expr: jobsNow },
            { expr: shared('backfill_run_progress_ratio', perJob) },
            { expr: shared('backfill_run_rows_per_second', perJob) },
            { expr: shared('backfill_run_eta_seconds', perJob) },
            { expr: shared('backfill_run_stragglers', perJob) },
            { expr: `${shared('backfill_run_quarantined', perJob)} and on (job, database, job_name) (${jobsNow})` },
            { expr: `${shared('backfill_last_checkpoint_timestamp_seconds', perJob)} * 1000` },
          ],
        }),
        bars({
          title: 'Runs by status',
          says: 'All runs that are kept (RETENTION_DAYS), of all jobs.',
          width: 6,
          height: 9,
          unit: 'none',
          steps: ['blue'],
          noValue: 'no runs',
          queries: [{ expr: `sum by (status) (${shared('backfill_runs', ['status'])})`, legend: '{{status}}' }],
        }).overrideByName('failed', [fixed('red')]),
        curves({
          title: 'Rows a second',
          says: 'Rows that each job passes over now. Flat at 0 during a live run: the panel of held runs says why.',
          width: 12,
          height: 8,
          unit: 'short',
          stacked: true,
          noValue: 'no live run',
          queries: [{ expr: shared('backfill_run_rows_per_second', perJob), legend: '{{job_name}} {{database}}' }],
        }),
        timeline({
          title: 'Held and slowed',
          says: 'When a run was held (orange) or slowed (yellow), and by what. The same signal again and again: the database or its replica is short of something, or a limit is too tight.',
          width: 12,
          height: 8,
          unit: 'none',
          steps: ['yellow', [2, 'orange']],
          noValue: 'No run was held or slowed.',
          alerts: ['BackfillHeldLong', 'BackfillPausedForgotten'],
          queries: [
            {
              expr: `(${shared('backfill_held', ['job_name', 'signal'])} > bool 0) * 2 > 0`,
              legend: '{{job_name}} {{database}} held: {{signal}}',
            },
            {
              expr: `(${shared('backfill_slowed', ['job_name', 'signal'])} > bool 0) > 0`,
              legend: '{{job_name}} {{database}} slowed: {{signal}}',
            },
          ],
        }),
      ],
    },
    {
      title: 'Database and workers',
      panels: [
        bars({
          title: 'How near the hard limits',
          says: 'Each signal that holds runs, as a part of its hard limit. At 100 % runs are held. The pace comes down long before. Resting below is normal if a replica is the bottleneck.',
          width: 8,
          height: 8,
          unit: 'percentunit',
          decimals: 0,
          max: 1,
          steps: ['green', [0.8, 'orange'], [1, 'red']],
          noValue: 'No worker measures, or no run is live.',
          alerts: ['BackfillWritesOverLimit', 'BackfillSignalUnknown'],
          queries: [
            {
              expr: `max by (job, database, signal) (${series('backfill_signal')}) / min by (job, database, signal) (${series('backfill_signal_limit', 'limit="hard"', comparable)})`,
              legend: '{{signal}} {{database}}',
            },
          ],
        }),
        curves({
          title: 'Slots in use',
          says: 'Slots of all workers, and slots in use. All in use for long while tickets wait: start more workers, or run fewer jobs at once.',
          width: 8,
          height: 8,
          unit: 'none',
          decimals: 0,
          alerts: ['BackfillNoWorkers', 'BackfillQueueBacklog'],
          noValue: 'no worker',
          queries: [
            { expr: own('backfill_worker_slots_busy'), legend: 'in use {{database}}' },
            { expr: own('backfill_worker_slots'), legend: 'slots {{database}}' },
          ],
        }),
        curves({
          title: 'Faults of batches',
          says: 'Batches that ended in a fault and changed nothing, by kind. All but `job` are tried again; see docs/faults.md. Many of one kind for minutes: look at the database.',
          width: 8,
          height: 8,
          unit: 'ops',
          stacked: true,
          noValue: 'no faults',
          alerts: ['BackfillInTrouble'],
          queries: [
            { expr: `${perSecond('backfill_batch_faults_total', ['fault'])} > 0`, legend: '{{fault}} {{database}}' },
          ],
        }),
      ],
    },
  ],
})
