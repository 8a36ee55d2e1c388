/**
 * Selectors and aggregations, in PromQL. All keep `job` (the installation) and `database` apart: two of them may run a job of the
 * same name. A database without a name has no such label, and `.*` for all of them matches that too.
 */

const ofInstallation = 'job=~"$service"'
const ofDatabase = `${ofInstallation}, database=~"$database"`

/** The job that the Run dashboard is about. */
export const ofJob = 'job_name=~"$job_name"'

const within = (scope: string, metric: string, matchers: readonly string[]) =>
  `${metric}{${[scope, ...matchers].join(', ')}}`
const labels = (by: readonly string[]) => ['job', 'database', ...by].join(', ')

/** A metric of a database. */
export const series = (metric: string, ...matchers: string[]) => within(ofDatabase, metric, matchers)

/** A metric of a process, whichever databases it works on. */
export const processSeries = (metric: string, ...matchers: string[]) => within(ofInstallation, metric, matchers)

/** What every process says alike, once. Added up it would be as many times too much as there are processes. */
export const shared = (metric: string, by: readonly string[] = [], ...matchers: string[]) =>
  `max by (${labels(by)}) (${series(metric, ...matchers)})`

/** What each process says of itself, added up. */
export const own = (metric: string, by: readonly string[] = [], ...matchers: string[]) =>
  `sum by (${labels(by)}) (${series(metric, ...matchers)})`

/** A counter of each process' own, as a rate, added up. */
export const perSecond = (metric: string, by: readonly string[] = [], ...matchers: string[]) =>
  `sum by (${labels(by)}) (rate(${series(metric, ...matchers)}[$__rate_interval]))`

/** A counter of each process' own, as what was added to it over the time that is shown. */
export const inAll = (metric: string, by: readonly string[] = [], ...matchers: string[]) =>
  `sum by (${labels(by)}) (increase(${series(metric, ...matchers)}[$__range]))`

export const percentile = (share: number, histogram: string, by: readonly string[] = [], ...matchers: string[]) =>
  `histogram_quantile(${share}, ${perSecond(`${histogram}_bucket`, ['le', ...by], ...matchers)})`

const signal = (name: string) => `signal=~"${name}"`

/** Every worker measures for itself: the worst of what they see is what counts. */
export const measured = (name: string) => `max by (${labels(['signal'])}) (${series('backfill_signal', signal(name))})`

export const limitOf = (limit: 'soft' | 'hard', name: string) =>
  `min by (${labels(['signal'])}) (${series('backfill_signal_limit', signal(name), `limit="${limit}"`)})`

/** Since the labels of an alert are those of its expression, some of them lack what the variables choose by. */
export const alerts = (metric: string, ...matchers: string[]) =>
  `${metric}{${['alertname=~"Backfill.+"', 'job=~"$service|"', 'database=~"$database|"', ...matchers].join(', ')}}`
