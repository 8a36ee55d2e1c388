import { expect, onTestFinished, test } from 'vitest'
import { readRulesFile } from '../../grafana/code/rules.ts'
import { installation, Prometheus } from '../../tools/processes/prometheus.ts'
import { startAlertmanager, startWebhook, type Webhook } from '../support/alertmanager.ts'
import { createDatabase } from '../support/database.ts'
import { createItems, expectTouchedOnce, untilDone } from '../support/items.ts'
import { shortened } from '../support/rules.ts'
import { jobSource, jobsFolder, spawnService, startInProcess } from '../support/service.ts'
import { limits } from '../support/tier.ts'
import { until } from '../support/until.ts'

/** A minute of the rules is three seconds here. */
const shorter = 20

interface Watch {
  readonly prometheus: Prometheus
  readonly webhook: Webhook
}

/** The whole way from the processes to whoever is woken. */
async function watch(targets: Readonly<Record<string, string>>): Promise<Watch> {
  const webhook = await startWebhook()
  onTestFinished(() => webhook.stop())
  const alertmanager = await startAlertmanager(webhook.url)
  onTestFinished(() => alertmanager.stop())
  const rules = shortened(readRulesFile(), shorter)
  const prometheus = await Prometheus.start({ targets, rules, alertmanager: alertmanager.url })
  onTestFinished(() => prometheus.stop())
  return { prometheus, webhook }
}

/** Waits until an alert is in this state; null where there is none of that name. */
function untilAlert({ prometheus }: Watch, name: string, state: 'pending' | 'firing' | null, seconds = 30) {
  return until(
    `${name} to be ${state ?? 'over'}`,
    async () => {
      const alerts = await prometheus.alerts()
      return alerts.find(({ labels }) => labels.alertname === name) ?? null
    },
    (alert) => (alert?.state ?? null) === state,
    seconds,
  )
}

function untilNotice({ webhook }: Watch, name: string, status: 'firing' | 'resolved') {
  return until(
    `the webhook to hear that ${name} is ${status}`,
    () => webhook.notices.find((notice) => notice.labels.alertname === name && notice.status === status),
    (notice) => notice !== undefined,
  )
}

/** Every alert that has fired since the beginning. */
async function everFired({ prometheus }: Watch): Promise<string[]> {
  const fired = await prometheus.query('group by (alertname) (last_over_time(ALERTS{alertstate="firing"}[1h]))')
  return fired.map(({ metric }) => metric.alertname ?? '').sort()
}

test(
  'a run that stalls wakes somebody, by name and with what to do, until a worker goes on with it',
  async () => {
    const database = await createDatabase()
    const jobs = await createItems(database, 20_000)
    const api = await startInProcess(database, jobs, { ROLE: 'api' })
    const worker = await spawnService(database, jobs, { ROLE: 'worker' })
    const here = await watch({ api: api.url, worker: worker.client.url })
    const id = await api.start('count', { options: { maxRowsPerSecond: 500, batchSize: 20 } })
    await untilDone(database, 500)
    await here.prometheus.nextScrape()
    expect(await everFired(here)).toEqual([])

    worker.process.kill('SIGSTOP')
    const waiting = await api.start('touch')
    await untilAlert(here, 'BackfillNoWorkers', 'firing')
    const early = await untilNotice(here, 'BackfillNoWorkers', 'firing')
    expect(early?.labels).toEqual({ alertname: 'BackfillNoWorkers', job: installation, severity: 'critical' })
    expect(early?.annotations.summary).toBe(`Backfills of ${installation} wait, and there is no worker`)
    await api.call('POST', `/runs/${waiting}/cancel`)
    await untilNotice(here, 'BackfillNoWorkers', 'resolved')

    await untilAlert(here, 'BackfillRunStalled', 'pending')
    expect((await api.run(id)).stalled).not.toBeNull()
    await untilAlert(here, 'BackfillRunStalled', 'firing')
    const notice = await untilNotice(here, 'BackfillRunStalled', 'firing')
    expect(notice?.labels).toEqual({
      alertname: 'BackfillRunStalled',
      job: installation,
      job_name: 'count',
      severity: 'critical',
    })
    expect(notice?.annotations.summary).toBe('Backfill count has stalled')
    expect(notice?.annotations.runbook_url).toMatch(/^https:.*\/docs\/runbooks\/BackfillRunStalled\.md$/)
    expect(notice?.annotations.description).toContain('count')
    expect(notice?.annotations.dashboard).toContain('var-job_name=count')

    worker.process.kill('SIGCONT')
    await untilAlert(here, 'BackfillRunStalled', null)
    await untilNotice(here, 'BackfillRunStalled', 'resolved')
    // Not before: whatever somebody does to a run is a sign of it, and would end the alert for a minute.
    await api.call('PATCH', `/runs/${id}`, { maxRowsPerSecond: null })
    await api.reaches(id, ['succeeded'])
    await expectTouchedOnce(database, 20_000)
    expect(await everFired(here)).toEqual(['BackfillNoWorkers', 'BackfillRunStalled'])
  },
  2000 * limits.test,
)

test('a run that fails wakes somebody until it is retried, and a run that is well wakes nobody', async () => {
  const database = await createDatabase()
  await createItems(database, 6000)
  const rest = 'set: { touched: sql`1 / (1 - length(label))` }'
  const jobs = await jobsFolder({
    'divide.ts': jobSource({ name: 'divide', table: 'items', rest }),
  })
  const service = await startInProcess(database, jobs)
  const here = await watch({ service: service.url })
  const options = { maxRowsPerSecond: 2000, batchSize: 50, maxQuarantined: 0 }
  const start = (again: boolean) => service.start('divide', { again, options })

  await database.query("UPDATE items SET label = ''")
  const well = await start(false)
  await here.prometheus.nextScrape()
  await service.reaches(well, ['succeeded'])
  await here.prometheus.nextScrape()
  expect(await everFired(here)).toEqual([])

  await database.query("UPDATE items SET label = 'x', touched = 0 WHERE id = 3000")
  const id = await start(true)
  await service.reaches(id, ['failed'])
  await untilAlert(here, 'BackfillRunFailed', 'firing')
  const notice = await untilNotice(here, 'BackfillRunFailed', 'firing')
  expect(notice?.labels).toEqual({
    alertname: 'BackfillRunFailed',
    job: installation,
    job_name: 'divide',
    severity: 'critical',
  })
  expect(notice?.annotations.summary).toBe('Backfill divide has failed')
  expect(notice?.annotations.runbook_url).toMatch(/^https:.*\/docs\/runbooks\/BackfillRunFailed\.md$/)

  await database.query("UPDATE items SET label = ''")
  await service.call('POST', `/runs/${id}/retry`)
  await untilAlert(here, 'BackfillRunFailed', null)
  await untilNotice(here, 'BackfillRunFailed', 'resolved')
  await service.reaches(id, ['succeeded'])
  await expectTouchedOnce(database, 6000)
  expect(await everFired(here)).toEqual(['BackfillRunFailed'])
  expect(here.webhook.notices.map(({ status }) => status)).toEqual(['firing', 'resolved'])
})
