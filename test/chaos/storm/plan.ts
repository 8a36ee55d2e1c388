import {
  type Arbitrary,
  array,
  constantFrom,
  float,
  integer,
  oneof,
  record,
  sample,
  shuffledSubarray,
  type WeightedArbitrary,
} from 'fast-check'
import type { Fault } from './fault.ts'
import { networkFaults, redisNetworkFaults } from './faults/network.ts'
import { lockFaults, operatorFaults } from './faults/people.ts'
import { processFaults } from './faults/processes.ts'
import { postgresFaults, queueFaults, redisFaults } from './faults/servers.ts'
import { jobs } from './jobs.ts'
import type { QueueKind } from './world.ts'

/** What goes wrong, and when after the round's runs were started. */
export interface Stroke {
  readonly atMs: number
  readonly name: string
  readonly drawn: object
}

/** A round, as its seed tells it: the same seed and queue, the same plan. */
export type Plan = ReturnType<typeof planOf>

export function faultsOf(queue: QueueKind): Readonly<Record<string, Fault>> {
  return {
    ...processFaults,
    ...postgresFaults,
    ...networkFaults,
    ...queueFaults,
    ...lockFaults,
    ...operatorFaults,
    ...(queue === 'redis' && { ...redisFaults, ...redisNetworkFaults }),
  }
}

export function planOf(seed: number, queue: QueueKind) {
  const kinds = Object.entries(faultsOf(queue)).map(
    ([name, { weight, draws }]): WeightedArbitrary<Omit<Stroke, 'atMs'>> => ({
      weight,
      arbitrary: draws.map((drawn) => ({ name, drawn })),
    }),
  )
  const round = record({
    runs: shuffledSubarray([...jobs], { minLength: 1, maxLength: 3 }),
    rows: integer({ min: 500, max: 2000 }),
    badEvery: constantFrom(0, 97, 31),
    ms: float({ min: 1, max: 4, noNaN: true }),
    options: record({
      batchSize: integer({ min: 3, max: 50 }),
      parallelism: integer({ min: 1, max: 6 }),
      synchronousCommit: constantFrom('off', 'off', 'on'),
    }),
    strokes: array(record({ atMs: integer({ min: 0, max: 3500 }), what: oneof(...kinds) }), {
      minLength: 4,
      maxLength: 12,
      size: 'max',
    }),
  })
  const { strokes, ...rest } = drawOne(round, seed)
  const sorted = strokes.map(({ atMs, what }): Stroke => ({ atMs, ...what })).sort((a, b) => a.atMs - b.atMs)
  return { seed, ...rest, strokes: sorted }
}

/** Without bias: at the start of a run fast-check draws small values and bounds, and each round is its own start. */
function drawOne<T>(from: Arbitrary<T>, seed: number): T {
  return sample(from, { seed, numRuns: 1, unbiased: true })[0] as T
}
