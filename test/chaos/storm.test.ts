import { afterAll, expect, inject, test } from 'vitest'
import { seed } from '../support/seed.ts'
import { queueKind } from '../support/service.ts'
import { limits, perCommit } from '../support/tier.ts'
import { faultsOfHistory } from './storm/history.ts'
import { planOf } from './storm/plan.ts'
import { Storm } from './storm/storm.ts'

/** Many more by hand: npm run chaos -- --rounds 200. */
const seeds = perCommit([seed], { nightly: [101, 102, 103, ...Array.from({ length: 10 }, (_, index) => seed + index)] })

const storm = new Storm(queueKind, inject('programs').shortened)
afterAll(() => storm.close())

test.each(seeds)(
  'whatever fails, every row is done once and the run ends right: seed %i',
  async (number) => {
    const { wrong, plan, faults, logs } = await storm.round(number)
    expect(wrong, JSON.stringify({ plan, faults, logs }, null, 1)).toEqual([])
    // A storm in which nothing could be done would prove nothing.
    expect(faults.filter(({ missed }) => missed === null).length).toBeGreaterThan(0)
  },
  2000 * limits.test,
)

test('a seed tells the same round each time, and another seed another one', () => {
  expect(planOf(7, queueKind)).toEqual(planOf(7, queueKind))
  expect(planOf(7, queueKind).strokes).not.toEqual(planOf(8, queueKind).strokes)
})

const options = { batchSize: 10 }
const history = (...moves: ReadonlyArray<readonly [kind: string, detail: Record<string, unknown>]>) =>
  faultsOfHistory(
    [['created', { options }] as const, ['start', { from: 'queued', to: 'running' }] as const, ...moves].map(
      ([kind, detail], index) => ({ id: String(index), kind, detail }),
    ),
    { status: 'running', options, held: false, ranges: 3 },
  )

test.each([
  ['a status that the run was not in', ['verify', { from: 'paused', to: 'verifying' }]],
  ['an arrow that there is not', ['succeed', { from: 'running', to: 'succeeded' }]],
  ['a resume that leads nowhere', ['resume', { from: 'running', to: 'running' }]],
  ['an end that is not the run’s', ['verify', { from: 'running', to: 'verifying' }]],
  ['a hold that was not begun', ['released', {}]],
  ['a hold that was not ended', ['held', {}]],
  ['options that were not those', ['options', { from: { batchSize: 20 }, to: options }]],
  ['options that are not those', ['options', { from: options, to: { batchSize: 20 } }]],
  ['a range that there is not', ['rescued', { range: 3 }]],
  ['a second beginning', ['created', { options }]],
] as const)('the oracle sees in events %s', (_what, move) => {
  expect(history()).toEqual([])
  expect(history(move)).not.toEqual([])
})
