import {
  AnnotationQueryBuilder,
  ConstantVariableBuilder,
  type Dashboard,
  DashboardBuilder,
  DashboardCursorSync,
  DashboardLinkBuilder,
  DashboardLinkType,
  DatasourceVariableBuilder,
  QueryVariableBuilder,
  RowBuilder,
  VariableHide,
  VariableRefresh,
  VariableSort,
} from '@grafana/grafana-foundation-sdk/dashboard'
import { DataqueryBuilder } from '@grafana/grafana-foundation-sdk/prometheus'
import { type Built, datasource } from './panel.ts'
import { ofJob, processSeries, series, shared } from './query.ts'

/** Where the runbooks are read; a fork or a mirror changes this one variable of each dashboard. */
const runbooks = 'https://github.com/evenkeel/evenkeel/blob/main/docs/runbooks'

export interface Page {
  readonly uid: string
  readonly title: string
  readonly says: string
  /** About one job, which is chosen by a variable. */
  readonly ofOneJob?: boolean
  readonly rows: readonly { readonly title: string; readonly panels: readonly Built[] }[]
}

/** What Grafana's own editor of such a variable writes, and without which it does not show the query. */
const labelValues = 1

const chosen = (name: string, label: string, of: string, says: string) =>
  new QueryVariableBuilder(name)
    .label(label)
    .description(says)
    .datasource(datasource)
    .definition(`label_values(${of})`)
    .query({ query: `label_values(${of})`, qryType: labelValues, refId: 'PrometheusVariableQueryEditor-VariableQuery' })
    // With the time: what was there in the time that is looked at can be chosen, though it is gone by now.
    .refresh(VariableRefresh.OnTimeRangeChanged)
    .sort(VariableSort.NaturalAsc)

const several = (variable: QueryVariableBuilder) =>
  variable.multi(true).includeAll(true).current({ text: 'All', value: '$__all' })

const hidden = (variable: ConstantVariableBuilder) => {
  const built = { ...variable.build(), hide: VariableHide.HideVariable, skipUrlSync: true }
  return { build: () => built }
}

function variables(ofOneJob: boolean) {
  return [
    new DatasourceVariableBuilder('datasource').label('Prometheus').type('prometheus'),
    // All of them by their names, and not `.*`: process metrics of every other service in this Prometheus would match that.
    several(chosen('service', 'Service', 'backfill_build_info, job', 'The job of the scrape: one installation each')),
    several(
      chosen('database', 'Database', `${processSeries('backfill_database_up')}, database`, 'Where DATABASES is set'),
    ).allValue('.*'),
    ...(ofOneJob ? [chosen('job_name', 'Job', `${series('backfill_job_status')}, job_name`, 'Whose run it is')] : []),
    hidden(new ConstantVariableBuilder('runbooks').value(runbooks)),
  ]
}

const runEvents = (ofOneJob: boolean) =>
  new AnnotationQueryBuilder()
    .name('Run events')
    .datasource(datasource)
    .enable(true)
    .iconColor('blue')
    .target(
      new DataqueryBuilder()
        .refId('Events')
        .expr(
          `${shared('backfill_run_event_timestamp_seconds', ['job_name', 'event'], ...(ofOneJob ? [ofJob] : []))} * 1000`,
        ),
    )
    .titleFormat('{{event}}')
    .textFormat('{{job_name}}')
    .tagKeys('database')
    .useValueForTime(true)

/** To the others, with what is chosen here. */
const others = () =>
  new DashboardLinkBuilder('evenkeel')
    .type(DashboardLinkType.Dashboards)
    .tags(['evenkeel'])
    .includeVars(true)
    .keepTime(true)

export function dashboard({ uid, title, says, ofOneJob = false, rows }: Page): Dashboard {
  const page = new DashboardBuilder(title)
    .uid(uid)
    .description(says)
    .tags(['evenkeel'])
    .tooltip(DashboardCursorSync.Crosshair)
    .time({ from: 'now-6h', to: 'now' })
    .refresh('30s')
    .variables(variables(ofOneJob))
    .annotation(runEvents(ofOneJob))
    .link(others())
  for (const row of rows) {
    page.withRow(new RowBuilder(row.title))
    for (const panel of row.panels) page.withPanel(panel)
  }
  const built = page.build()
  built.panels?.forEach((panel, index) => {
    panel.id = index + 1
  })
  // The library puts links and annotations into a menu; here one should see where else to look.
  for (const shown of [...(built.links ?? []), ...(built.annotations.list ?? [])]) delete shown.placement
  return built
}
