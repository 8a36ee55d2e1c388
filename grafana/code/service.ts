import { dashboard } from './dashboard.ts'
import { curves, fixed, judged, stat } from './panel.ts'
import { own, perSecond, processSeries, series, shared } from './query.ts'
import { table } from './table.ts'

/** Without the probes: they are many, and would hide how often people are answered with an error. */
const calls = (...matchers: string[]) =>
  processSeries('backfill_http_requests_total', 'route!~"/livez|/readyz|/metrics"', ...matchers)
const answersPerSecond = (by: string, ...matchers: string[]) =>
  `sum by (${by}) (rate(${calls(...matchers)}[$__rate_interval]))`
const latency = (share: number) =>
  `histogram_quantile(${share}, sum by (job, le) (rate(${processSeries('backfill_http_request_duration_seconds_bucket', 'route!~"/livez|/readyz|/metrics"')}[$__rate_interval])))`

export const service = dashboard({
  uid: 'evenkeel-service',
  title: 'evenkeel / Service',
  says: 'The processes: workers, queue, connections, API.',
  rows: [
    {
      title: 'Now',
      panels: [
        stat({
          title: 'Processes',
          says: 'Targets of the scrape that answer, and those that do not. None answers: nothing moves.',
          width: 6,
          height: 4,
          unit: 'none',
          text: 'value_and_name',
          loud: true,
          steps: ['red', [1, 'green']],
          noValue: 'none scraped',
          alerts: ['BackfillDown'],
          queries: [
            { expr: `sum(${processSeries('up')})`, legend: 'up' },
            { expr: `sum(${processSeries('up')} == bool 0)`, legend: 'down' },
          ],
        }).overrideByName('down', [judged(['green', [1, 'orange']])]),
        stat({
          title: 'Slots in use',
          says: "Part of all workers' slots that is in use now.",
          width: 4,
          height: 4,
          unit: 'percentunit',
          decimals: 0,
          steps: ['text'],
          noValue: 'no worker',
          queries: [
            { expr: `sum(${series('backfill_worker_slots_busy')}) / (sum(${series('backfill_worker_slots')}) > 0)` },
          ],
        }),
        stat({
          title: 'Oldest ticket',
          says: 'Time that the oldest waiting ticket has been ready. Minutes: too few workers, or none that reaches the queue.',
          width: 4,
          height: 4,
          unit: 's',
          loud: true,
          steps: ['green', [60, 'orange'], [300, 'red']],
          noValue: 'unknown',
          alerts: ['BackfillQueueBacklog', 'BackfillNoWorkers'],
          queries: [{ expr: `max(${shared('backfill_queue_oldest_ticket_age_seconds')})` }],
        }),
        stat({
          title: 'API answers with 5xx',
          says: 'Part of all responses over the last minutes. The log has each with its error.',
          width: 4,
          height: 4,
          unit: 'percentunit',
          decimals: 1,
          loud: true,
          steps: ['green', [0.01, 'orange'], [0.05, 'red']],
          noValue: 'no calls',
          alerts: ['BackfillApiErrors'],
          queries: [
            {
              expr: `(sum(rate(${calls('status="5xx"')}[$__rate_interval])) or vector(0)) / (sum(rate(${calls()}[$__rate_interval])) > 0)`,
            },
          ],
        }),
        stat({
          title: 'Versions',
          says: 'Releases that run, and how many processes each has. Two only during a roll-out: docs/operating.md, Upgrading.',
          width: 6,
          height: 4,
          unit: 'none',
          text: 'value_and_name',
          steps: ['text'],
          noValue: 'none scraped',
          queries: [{ expr: `count by (version) (${processSeries('backfill_build_info')})`, legend: '{{version}}' }],
        }),
      ],
    },
    {
      title: 'Workers',
      panels: [
        curves({
          title: 'Slots',
          says: 'Tickets that workers can work on at once, and those in use. All in use while tickets wait: start more workers. No slots: no worker runs.',
          width: 8,
          height: 8,
          unit: 'none',
          decimals: 0,
          noValue: 'no worker',
          alerts: ['BackfillNoWorkers'],
          queries: [
            { expr: own('backfill_worker_slots_busy'), legend: 'in use {{database}}' },
            { expr: own('backfill_worker_slots'), legend: 'slots {{database}}' },
          ],
        }),
        curves({
          title: 'Rescues in 15 minutes',
          says: 'Ranges taken back after their lease ran out (`lease`) and lost tickets replaced (`ticket`). A few at a restart are normal. Again and again: workers die (memory?), or the queue loses tickets (Redis without noeviction). The alert begins at the line.',
          width: 8,
          height: 8,
          unit: 'none',
          noValue: 'no worker',
          alerts: ['BackfillRescuesRepeating'],
          alertFrom: 5,
          queries: [
            {
              expr: `sum by (job, database, kind) (increase(${series('backfill_rescues_total')}[15m]))`,
              legend: '{{kind}} {{database}}',
            },
          ],
        }),
        curves({
          title: 'Leases lost',
          says: 'Leases that processes lost at work, by job. Nothing is written under a lost lease. Expected at a pause or a hold. Otherwise workers lack CPU or are cut off.',
          width: 8,
          height: 8,
          unit: 'ops',
          noValue: 'none',
          alerts: ['BackfillRescuesRepeating'],
          queries: [
            {
              expr: `${perSecond('backfill_leases_lost_total', ['job_name'])} > 0`,
              legend: '{{job_name}} {{database}}',
            },
          ],
        }),
      ],
    },
    {
      title: 'Queue',
      panels: [
        curves({
          title: 'Tickets',
          says: '`waiting` tickets could be taken now, `delayed` ones not before a time, `active` ones are worked on. Waiting that only grows: too few workers.',
          width: 12,
          height: 8,
          unit: 'none',
          decimals: 0,
          stacked: true,
          noValue: 'unknown',
          alerts: ['BackfillQueueBacklog'],
          queries: [{ expr: shared('backfill_queue_tickets', ['state']), legend: '{{state}} {{database}}' }],
        }),
        curves({
          title: 'Age of the oldest ticket',
          says: 'Time that the oldest waiting ticket has been ready. Each slot takes another ticket every five seconds, so with enough workers it stays at seconds. The alert begins at the line.',
          width: 12,
          height: 8,
          unit: 's',
          noValue: 'unknown',
          alerts: ['BackfillQueueBacklog', 'BackfillNoWorkers'],
          alertFrom: 300,
          queries: [{ expr: shared('backfill_queue_oldest_ticket_age_seconds'), legend: 'oldest {{database}}' }],
        }),
      ],
    },
    {
      title: 'Connections to the databases',
      panels: [
        curves({
          title: 'Connections in use',
          says: 'Connections of all processes, by pool, and the most that may be open (dashed). At the line for long: calls and workers wait for connections.',
          width: 12,
          height: 8,
          unit: 'none',
          decimals: 0,
          noValue: 'none scraped',
          queries: [
            { expr: own('backfill_pool_connections', ['pool', 'state']), legend: '{{pool}} {{state}} {{database}}' },
            {
              expr: own('backfill_pool_connections_limit', ['pool']),
              legend: '{{pool}} limit {{database}}',
              line: 'hard limit',
            },
          ],
        }),
        curves({
          title: 'Waiting for a connection',
          says: 'Callers that wait for a connection, by pool. Short peaks are normal. Above 0 for long: the database answers slowly.',
          width: 12,
          height: 8,
          unit: 'none',
          decimals: 0,
          noValue: 'none scraped',
          queries: [{ expr: own('backfill_pool_waiting', ['pool']), legend: '{{pool}} {{database}}' }],
        }),
      ],
    },
    {
      title: 'API',
      panels: [
        curves({
          title: 'Answers',
          says: 'Responses per second, by class of status.',
          width: 8,
          height: 8,
          unit: 'reqps',
          stacked: true,
          noValue: 'no calls',
          alerts: ['BackfillApiErrors'],
          queries: [{ expr: `${answersPerSecond('status')} > 0`, legend: '{{status}}' }],
        })
          .overrideByName('5xx', [fixed('red')])
          .overrideByName('4xx', [fixed('orange')])
          .overrideByName('2xx', [fixed('green')]),
        curves({
          title: 'Errors by route',
          says: 'Responses with 5xx per second. One route: its handler. All of them: the database or the queue does not answer.',
          width: 8,
          height: 8,
          unit: 'reqps',
          stacked: true,
          noValue: 'no errors',
          alerts: ['BackfillApiErrors'],
          queries: [
            { expr: `${answersPerSecond('method, route', 'status="5xx"')} > 0`, legend: '{{method}} {{route}}' },
          ],
        }),
        curves({
          title: 'Latency',
          says: 'Time to the end of the response. If only the slowest hundredth is slow: lists over several databases, one of them unreachable.',
          width: 8,
          height: 8,
          unit: 's',
          noValue: 'no calls',
          queries: [
            { expr: latency(0.5), legend: 'half below' },
            { expr: latency(0.95), legend: '95 of 100 below' },
            { expr: latency(0.99), legend: '99 of 100 below' },
          ],
        }),
      ],
    },
    {
      title: 'Processes',
      panels: [
        curves({
          title: 'CPU',
          says: 'Cores that each process uses. A worker mostly waits for the database. Near 1 its thread is busy and its batches are late.',
          width: 8,
          height: 8,
          unit: 'none',
          decimals: 2,
          noValue: 'none scraped',
          queries: [
            { expr: `rate(${processSeries('process_cpu_seconds_total')}[$__rate_interval])`, legend: '{{instance}}' },
          ],
        }),
        curves({
          title: 'Memory',
          says: 'Memory of each process. It levels off after some minutes. Growing for hours is a leak: report it, and restart the process, which loses nothing.',
          width: 8,
          height: 8,
          unit: 'bytes',
          noValue: 'none scraped',
          queries: [{ expr: processSeries('process_resident_memory_bytes'), legend: '{{instance}}' }],
        }),
        curves({
          title: 'Event loop lag',
          says: "Delay of each process' event loop, 99 of 100 times below this. Seconds of it cost leases.",
          width: 8,
          height: 8,
          unit: 's',
          noValue: 'none scraped',
          queries: [{ expr: processSeries('nodejs_eventloop_lag_p99_seconds'), legend: '{{instance}}' }],
        }),
        table({
          title: 'Each process',
          says: 'Each scraped process, with its release and start. A process that is young again and again restarts: look at its log.',
          width: 24,
          height: 8,
          noValue: 'No process is scraped.',
          alerts: ['BackfillDown'],
          sortBy: 'Process',
          columns: [
            { field: 'instance', name: 'Process' },
            { field: 'version', name: 'Release' },
            { field: 'Value #B', name: 'Started', unit: 'dateTimeFromNow' },
            { field: 'Value #C', name: 'Slots', unit: 'none' },
            { field: 'Value #D', name: 'Slots in use', unit: 'none' },
            { field: 'job', name: 'Service' },
          ],
          queries: [
            { expr: `max by (job, instance, version) (${processSeries('backfill_build_info')})` },
            { expr: `max by (job, instance) (${processSeries('process_start_time_seconds')}) * 1000` },
            { expr: `sum by (job, instance) (${series('backfill_worker_slots')})` },
            { expr: `sum by (job, instance) (${series('backfill_worker_slots_busy')})` },
          ],
        }),
      ],
    },
  ],
})
