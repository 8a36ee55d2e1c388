import {
  assert,
  boolean,
  constant,
  constantFrom,
  dictionary,
  double,
  integer,
  oneof,
  property,
  record,
} from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Problem } from '../../src/core/errors.ts'
import { nearest } from '../../src/core/job/nearest-name.ts'
import {
  defaultRunOptions,
  mergeOptions,
  partialRunOptions,
  patchedRunOptions,
  type RunOptions,
  runOptions,
} from '../../src/core/job/options.ts'
import { explainObject } from '../../src/core/job/strict-object.ts'
import { minDeadRows, signalNames } from '../../src/core/throttle/signal.ts'

const rows = integer({ min: 1, max: 100_000 })
const seconds = double({ min: 0.001, max: 5, noNaN: true })
const inOrder = ({ min, max }: { min: number; max: number }) => ({ min: Math.min(min, max), max: Math.max(min, max) })
const ownLimit = double({ min: 0.001, max: 1e12, noNaN: true })
/** Without `signals`, which are merged name by name. */
const plainOptions = {
  batchSize: oneof(rows, record({ min: rows, max: rows }).map(inOrder)),
  parallelism: integer({ min: 1, max: 64 }),
  maxLagSeconds: double({ min: 0.001, max: 86_400, noNaN: true }),
  maxRowsPerSecond: oneof(constant(null), double({ min: 0.001, max: 1e9, noNaN: true })),
  synchronousCommit: constantFrom('off', 'local', 'remote_write', 'on', 'remote_apply'),
  maxQuarantined: integer({ min: 0, max: 1_000_000 }),
  succeedWithQuarantined: boolean(),
  targetBatchSeconds: oneof(seconds, record({ min: seconds, max: seconds }).map(inOrder)),
  schedule: constantFrom(
    null,
    { cron: '* 22-23,0-5 * * *', timeZone: 'Europe/Vienna' },
    { cron: '0-29 * * * SAT,SUN', timeZone: 'UTC' },
  ),
}
const ofTheirOwn = ['replica-lag', 'heartbeat', 'dead-tuples']
const anySignals = dictionary(
  constantFrom(...signalNames.filter((name) => !ofTheirOwn.includes(name))),
  oneof(boolean(), ownLimit),
).chain((rest) =>
  record(
    {
      'replica-lag': boolean(),
      heartbeat: boolean(),
      'dead-tuples': oneof(boolean(), double({ min: 0.001, max: 0.999, noNaN: true }), integer({ min: 1000 })),
    },
    { requiredKeys: [] },
  ).map((own) => ({ ...rest, ...own })),
)
const anyOptions = record({ ...plainOptions, signals: anySignals })

describe('options', () => {
  test('the defaults are options, and small enough for a database that serves others', () => {
    expect(runOptions.parse(defaultRunOptions)).toEqual(defaultRunOptions)
    expect(defaultRunOptions).toMatchObject({ parallelism: 2, maxLagSeconds: 5, signals: {}, schedule: null })
  })

  test('whatever is within the bounds is taken as it is', () => {
    assert(
      property(anyOptions, (options) => {
        expect(runOptions.parse(options)).toEqual(options)
      }),
    )
  })

  test.for([
    { batchSize: 0 },
    { batchSize: 1.5 },
    { batchSize: 100_001 },
    { batchSize: '100' },
    { batchSize: {} },
    { batchSize: { min: 10, max: 5 } },
    { batchSize: { min: 1, max: 5, step: 1 } },
    { parallelism: 0 },
    { parallelism: 65 },
    { parallelism: 1.5 },
    { maxRowsPerSecond: 0 },
    { maxRowsPerSecond: -1 },
    { maxRowsPerSecond: Number.POSITIVE_INFINITY },
    { maxRowsPerSecond: Number.NaN },
    { targetBatchSeconds: 0 },
    { targetBatchSeconds: 6 },
    { targetBatchSeconds: { min: 0.02, max: 0.01 } },
    { targetBatchSeconds: {} },
    { targetBatchSeconds: { min: 0, max: 1 } },
    { maxLagSeconds: 0 },
    { maxLagSeconds: 86_401 },
    { signals: { 'replica-lag': 3 } },
    { signals: { heartbeat: 3 } },
    { signals: { blocked: 0 } },
    { signals: { blocked: '3' } },
    { signals: { nonsense: true } },
    { signals: { 'dead-tuples': 1 } },
    { signals: { 'dead-tuples': 20 } },
    { signals: { 'dead-tuples': 999 } },
    { signals: { 'dead-tuples': 1000.5 } },
    { schedule: { cron: '* * * * *' } },
    { schedule: { cron: '0 22 * * *', timeZone: 'UTC' } },
    { schedule: { cron: '* * * * *', timeZone: 'Nowhere/Else' } },
    { unknown: 1 },
  ])('%j is refused, alone and among the others', (wrong) => {
    expect(partialRunOptions.safeParse(wrong).success).toBe(false)
    expect(runOptions.safeParse({ ...defaultRunOptions, ...wrong }).success).toBe(false)
  })

  test('a size whose min is above its max is told so', () => {
    expect(partialRunOptions.safeParse({ batchSize: { min: 10, max: 5 } }).error?.message).toContain('min is above max')
  })

  test('a target whose min is above its max is told so', () => {
    expect(partialRunOptions.safeParse({ targetBatchSeconds: { min: 0.02, max: 0.01 } }).error?.message).toContain(
      'min is above max',
    )
  })

  test('a number for a lag is told where that is said', () => {
    expect(partialRunOptions.safeParse({ signals: { 'replica-lag': 3 } }).error?.message).toContain(
      'its limit is maxLagSeconds',
    )
  })

  test('dead tuples that are neither a part of the table nor enough rows are told both forms', () => {
    const message = partialRunOptions.safeParse({ signals: { 'dead-tuples': 20 } }).error?.message
    expect(message).toContain('dead-tuples')
    expect(message).toContain('0.2')
    expect(message).toContain(String(minDeadRows))
    expect(runOptions.safeParse({ ...defaultRunOptions, signals: { 'dead-tuples': minDeadRows } }).success).toBe(true)
  })

  test('a bad schedule is told what is wrong with it', () => {
    expect(partialRunOptions.safeParse({ schedule: { cron: '0 22 * * *', timeZone: 'UTC' } }).error?.message).toContain(
      'names every minute',
    )
  })
})

describe('merging', () => {
  test('later layers win, word by word', () => {
    expect(mergeOptions(defaultRunOptions, { parallelism: 3, batchSize: 10 }, { parallelism: 4 })).toEqual({
      ...defaultRunOptions,
      batchSize: 10,
      parallelism: 4,
    })
  })

  test('null takes a limit away, and is not the same as silence', () => {
    expect(mergeOptions(defaultRunOptions, { maxRowsPerSecond: 5 }, {}).maxRowsPerSecond).toBe(5)
    expect(mergeOptions(defaultRunOptions, { maxRowsPerSecond: 5 }, { maxRowsPerSecond: null }).maxRowsPerSecond).toBe(
      null,
    )
  })

  test('a word left undefined is silence', () => {
    expect(mergeOptions(defaultRunOptions, { parallelism: undefined })).toEqual(defaultRunOptions)
  })

  test('no layer changes what it was given', () => {
    const base = structuredClone(defaultRunOptions)
    mergeOptions(base, { parallelism: 9 })
    expect(base).toEqual(defaultRunOptions)
  })

  test('the whole of the last layer is the result; signals that it does not name stay as they were', () => {
    assert(
      property(anyOptions, anyOptions, (one, two) => {
        expect(mergeOptions(one, two)).toEqual({ ...two, signals: { ...one.signals, ...two.signals } })
      }),
    )
  })

  test('signals are merged name by name, and a layer without any says nothing', () => {
    const base: RunOptions = { ...defaultRunOptions, signals: { blocked: false, slots: 5 } }
    expect(mergeOptions(base, { signals: { slots: true } }, {}, { signals: { 'commit-latency': 2 } }).signals).toEqual({
      blocked: false,
      slots: true,
      'commit-latency': 2,
    })
    expect(mergeOptions(base, { signals: undefined }).signals).toEqual(base.signals)
  })
})

describe('bounds', () => {
  const size = (...layers: Parameters<typeof partialRunOptions.parse>[0][]) =>
    mergeOptions(defaultRunOptions, ...layers.map((batchSize) => partialRunOptions.parse({ batchSize }))).batchSize

  test('of which one is left out keep that one as it was', () => {
    expect(size({ max: 500 })).toEqual({ min: 50, max: 500 })
    expect(size({ max: 500 }, { min: 100 })).toEqual({ min: 100, max: 500 })
  })

  test('that follow a fixed number begin at the usual ones', () => {
    expect(size(700, { min: 100 })).toEqual({ min: 100, max: 10_000 })
    expect(size(700, { max: 900 })).toEqual({ min: 50, max: 900 })
    expect(size({ max: 500 }, 700)).toBe(700)
  })

  test('of which none is given are refused', () => {
    expect(partialRunOptions.safeParse({ batchSize: {} }).success).toBe(false)
    expect(partialRunOptions.safeParse({ targetBatchSeconds: {} }).success).toBe(false)
  })

  test('of several layers that contradict each other are a problem that names both', () => {
    const merged = () => mergeOptions(defaultRunOptions, { batchSize: { max: 20 } })
    expect(merged).toThrow(Problem)
    expect(merged).toThrow(/batchSize.*50.*20/)
    expect(() => mergeOptions(defaultRunOptions, { targetBatchSeconds: { min: 2 } })).toThrow(
      /targetBatchSeconds.*2.*0\.3/,
    )
  })
})

describe('options that are patched', () => {
  const messageOf = (patch: unknown) =>
    patchedRunOptions
      .safeParse(patch)
      .error?.issues.map(({ message }) => message)
      .join()

  test('are any of them, as they are', () => {
    for (const patch of [{ parallelism: 3 }, { maxRowsPerSecond: null }, { batchSize: { max: 10 }, signals: {} }])
      expect(patchedRunOptions.parse(patch)).toEqual(patch)
  })

  test('are at least one', () => {
    for (const nothing of [{}, { parallelism: undefined }]) expect(messageOf(nothing)).toContain('at least one')
  })

  test('given as those of a start are told to come without that word', () => {
    expect(messageOf({ options: { batchSize: 100 } })).toContain('{"batchSize": 100}')
  })

  test('that are misspelt are told what was meant', () => {
    expect(messageOf({ paralelism: 2 })).toMatch(/paralelism.*parallelism/)
    expect(messageOf({ batchSize: { mni: 2 } })).toMatch(/"mni".* min, max\b/)
  })
})

describe('an object that is not as it should be', () => {
  const keysOf = (given: unknown) => partialRunOptions.safeParse(given).error?.message

  test('is told the key that was meant, or all of them', () => {
    expect(keysOf({ paralelism: 2 })).toMatch(/"paralelism.*parallelism/)
    expect(keysOf({ paralelism: 2 })).not.toContain('maxQuarantined')
    for (const name of Object.keys(defaultRunOptions)) expect(keysOf({ nonsense: 2 })).toContain(name)
  })

  test('is told its keys where it is none at all', () => {
    for (const none of [null, 5, 'x', [1]]) {
      expect(keysOf(none)).toContain('JSON object')
      for (const name of Object.keys(defaultRunOptions)) expect(keysOf(none)).toContain(name)
    }
    const single = runOptions.pick({ parallelism: true })
    expect(explainObject({ code: 'invalid_type', expected: 'object', input: 5, inst: single })).toMatch(
      /\bkey parallelism$/,
    )
  })

  test('is left to others where something else is wrong with it', () => {
    expect(explainObject({ code: 'custom', input: {}, inst: runOptions })).toBeNull()
  })
})

describe('the name that was probably meant', () => {
  const names = ['batchSize', 'maxLagSeconds', 'parallelism']

  test.for([
    ['batchsize', 'batchSize'],
    ['batch_size', 'batchSize'],
    ['max-lag-seconds', 'maxLagSeconds'],
    ['paralelism', 'parallelism'],
    ['batchSzie', 'batchSize'],
  ] as const)('by %s is %s', ([name, meant]) => {
    expect(nearest(name, names)).toBe(meant)
  })

  test('is none where none is near, or there is none', () => {
    expect(nearest('timeout', names)).toBeNull()
    expect(nearest('batchSize', [])).toBeNull()
  })
})
