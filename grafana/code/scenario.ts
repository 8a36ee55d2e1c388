import type { Environment } from './environment.ts'

/** How fast the large run goes, rows a second: at first, and once somebody has seen that it may. */
export interface Rates {
  readonly first: number
  readonly raised: number
}

/** When it was worth looking at the dashboards. Unix time in seconds. */
export interface Moments {
  readonly began: number
  /** All are held, one has failed. */
  readonly held: number
  /** Nearly done, and everything has been gone through. */
  readonly late: number
}

const now = () => Date.now() / 1000

/**
 * What may happen in the course of a large run, with a small one beside it and one that fails. `goOn` is awaited after each
 * turn: so long it stays as it is then.
 */
export async function runScenario(
  environment: Environment,
  rates: Rates,
  goOn: () => Promise<unknown>,
): Promise<Moments> {
  const { api } = environment
  const began = now()
  const orders = await api.start('orders-each', {
    maxRowsPerSecond: rates.first,
    maxLagSeconds: 3,
    // So few that a worker keeps its range between two batches: one that is paused then loses it.
    batchSize: { min: 20, max: rates.first / 5 },
    signals: { 'dead-tuples': 0.9 },
  })
  await api.moves(orders)
  await goOn()

  const users = await api.start('users-full-name', { maxRowsPerSecond: rates.first / 4 })
  const prices = await api.start('prices-cents', {})
  await api.reaches(prices, 'failed', ({ status }) => status === 'failed')
  await api.client.GET('/runs/{id}', { params: { path: { id: 'none' } } })
  await api.client.POST('/runs/{id}/pause', { params: { path: { id: prices } } })
  await goOn()

  const letGo = await environment.lockSome()
  await api.reaches(orders, 'in want of rows that others have', ({ progress }) => progress.stragglers > 0)
  await goOn()
  await letGo()

  await environment.kill('worker-2')
  await goOn()
  await environment.start('worker-2')
  await api.moves(orders)
  await goOn()

  await api.tell(orders, 'pause')
  await api.reaches(orders, 'paused', ({ status }) => status === 'paused')
  await goOn()
  await api.tell(orders, 'resume')
  await api.moves(orders)
  await goOn()

  await environment.replay('pause')
  await api.reaches(orders, 'held', ({ throttle }) => /the limit is/.test(throttle?.reason ?? ''))
  await goOn()
  const held = now()
  await environment.replay('resume')
  await api.reaches(orders, 'released', ({ throttle }) => !/the limit is/.test(throttle?.reason ?? ''))
  await api.moves(orders)
  await goOn()

  await api.change(orders, { maxRowsPerSecond: rates.raised })
  await environment.mendPrices()
  await api.tell(prices, 'retry')
  await api.reaches(prices, 'succeeded', ({ status }) => status === 'succeeded')
  await goOn()
  const late = now()

  for (const id of [orders, users]) await api.change(id, { maxRowsPerSecond: null })
  for (const id of [orders, users]) await api.reaches(id, 'succeeded', ({ status }) => status === 'succeeded', 120)
  await goOn()
  return { began, held, late }
}
