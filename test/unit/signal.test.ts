import { assert, constantFrom, double, property } from 'fast-check'
import { describe, expect, test } from 'vitest'
import { formatValue, type SignalUnit, signalNames, signalSpecs } from '../../src/core/throttle/signal.ts'

const units: SignalUnit[] = [
  'seconds',
  'bytes',
  'segments',
  'samples',
  'sessions',
  'per core',
  'times the quiet',
  'ratio',
]

describe('every signal', () => {
  test('is named once and has a spec, and there is no other', () => {
    expect(new Set(signalNames).size).toBe(signalNames.length)
    expect(Object.keys(signalSpecs).sort()).toEqual([...signalNames].sort())
  })

  test.for([...signalNames])('%s has limits in order, a unit and a meaning', (name) => {
    const { unit, soft, hard, meaning } = signalSpecs[name]
    expect(units).toContain(unit)
    expect(soft).toBeGreaterThan(0)
    if (hard !== null) expect(hard).toBeGreaterThan(soft)
    expect(meaning).toMatch(/^[a-z].*[^.]$/)
  })

  test('without which nothing is written is one that can hold', () => {
    for (const name of signalNames) if (signalSpecs[name].essential) expect(signalSpecs[name].hard, name).not.toBeNull()
  })
})

describe('a value in words', () => {
  test.for([
    ['seconds', 5, '5 s'],
    ['seconds', 0.0499, '0 s'],
    ['seconds', 4.96, '5 s'],
    ['seconds', 12.34, '12.3 s'],
    ['bytes', 64 * 1024 ** 2, '64 MiB'],
    ['bytes', 1024 ** 3, '1024 MiB'],
    ['bytes', 1.55 * 1024 ** 2, '1.6 MiB'],
    ['segments', 42, '42 segments'],
    ['samples', 3, '3 samples'],
    ['per core', 0.666, '0.67 per core'],
    ['times the quiet', 1.5, '1.5 times the quiet'],
    ['ratio', 0.5, '50 %'],
    ['ratio', 0.123, '12 %'],
  ] as const)('in %s, %d is %s', ([unit, value, words]) => {
    expect(formatValue(unit, value)).toBe(words)
  })

  test('is short and never NaN, however large or small', () => {
    assert(
      property(constantFrom(...units), double({ min: 0, max: 1e15, noNaN: true }), (unit, value) => {
        const words = formatValue(unit, value)
        expect(words).toMatch(/^\d/)
        expect(words.length).toBeLessThan(40)
      }),
    )
  })
})
