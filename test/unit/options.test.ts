import { assert, constant, double, integer, oneof, property, record } from 'fast-check'
import { describe, expect, test } from 'vitest'
import { defaultRunOptions, mergeOptions, partialRunOptions, runOptions } from '../../src/core/options.ts'

const rows = integer({ min: 1, max: 100_000 })
const anyOptions = record({
  batchSize: oneof(
    rows,
    record({ min: rows, max: rows }).map(({ min, max }) => ({ min: Math.min(min, max), max: Math.max(min, max) })),
  ),
  parallelism: integer({ min: 1, max: 64 }),
  maxRowsPerSecond: oneof(constant(null), double({ min: 0.001, max: 1e9, noNaN: true })),
  targetBatchSeconds: double({ min: 0.001, max: 5, noNaN: true }),
})

describe('options', () => {
  test('the defaults are options, and small enough for a database that serves others', () => {
    expect(runOptions.parse(defaultRunOptions)).toEqual(defaultRunOptions)
    expect(defaultRunOptions).toMatchObject({ parallelism: 2, targetBatchSeconds: 0.02 })
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
    { batchSize: { min: 1 } },
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
    { unknown: 1 },
  ])('%j is refused, alone and among the others', (wrong) => {
    expect(partialRunOptions.safeParse(wrong).success).toBe(false)
    expect(runOptions.safeParse({ ...defaultRunOptions, ...wrong }).success).toBe(false)
  })

  test('a size whose min is above its max is told so', () => {
    expect(partialRunOptions.safeParse({ batchSize: { min: 10, max: 5 } }).error?.message).toContain(
      'batchSize.min is above batchSize.max',
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

  test('the whole of the last layer is the result', () => {
    assert(
      property(anyOptions, anyOptions, (one, two) => {
        expect(mergeOptions(one, two)).toEqual(two)
      }),
    )
  })
})
