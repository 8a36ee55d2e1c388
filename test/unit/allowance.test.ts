import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { networkOf } from '../../src/api/plugins/limits.ts'
import { TokenBucket } from '../../src/core/token-bucket.ts'

describe('an allowance', () => {
  test('gives the burst at once, then so many a second, and says how long to wait', () => {
    const allowance = new TokenBucket({ burst: 3, perSecond: 2 })
    expect([1, 2, 3].map(() => allowance.take('a', 10))).toEqual([0, 0, 0])
    expect(allowance.take('a', 10)).toBe(0.5)
    expect(allowance.take('a', 10.25)).toBe(0.25)
    expect(allowance.take('a', 10.5)).toBe(0)
    expect(allowance.take('a', 10.5)).toBe(0.5)
  })

  test('is each one’s own, and can be looked at without being used', () => {
    const allowance = new TokenBucket({ burst: 1, perSecond: 1 })
    expect([allowance.wait('a', 0), allowance.wait('a', 0), allowance.take('a', 0)]).toEqual([0, 0, 0])
    expect([allowance.wait('a', 0), allowance.wait('b', 0)]).toEqual([1, 0])
  })

  test('never lets more through than the burst and what has come since', () => {
    const steps = fc.array(fc.double({ min: 0, max: 3, noNaN: true }), { maxLength: 200 })
    fc.assert(
      fc.property(
        steps,
        fc.integer({ min: 1, max: 20 }),
        fc.double({ min: 0.1, max: 20, noNaN: true }),
        (waits, burst, perSecond) => {
          const allowance = new TokenBucket({ burst, perSecond })
          let now = 0
          let taken = 0
          for (const wait of waits) {
            now += wait
            if (allowance.take('a', now) === 0) taken += 1
          }
          expect(taken).toBeLessThanOrEqual(burst + now * perSecond + 1e-6)
        },
      ),
    )
  })

  test('whoever waits as long as he is told to is served', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 50 }),
        fc.double({ min: 0.01, max: 50, noNaN: true }),
        (burst, perSecond) => {
          const allowance = new TokenBucket({ burst, perSecond })
          for (let i = 0; i < burst; i += 1) allowance.take('a', 0)
          expect(allowance.take('a', Math.ceil(allowance.wait('a', 0)))).toBe(0)
        },
      ),
    )
  })

  test('strangers from many addresses take no memory without end, and have nobody forgotten who comes often', () => {
    const allowance = new TokenBucket({ burst: 1, perSecond: 0.000001 })
    let refused = 0
    for (let i = 0; i < 20_000; i += 1) {
      allowance.take(`stranger ${i}`, 0)
      if (allowance.take('guesser', 0) > 0) refused += 1
    }
    expect(refused).toBe(19_999)
    expect(allowance.take('stranger 0', 0)).toBe(0)
  })
})

test('all addresses of one network of IPv6 are one', () => {
  expect(networkOf('192.0.2.7')).toBe('192.0.2.7')
  expect(networkOf('::ffff:192.0.2.7')).toBe('::ffff:192.0.2.7')
  expect(networkOf('2001:db8:1:2:3:4:5:6')).toBe(networkOf('2001:db8:1:2::9'))
  expect(networkOf('2001:db8::1')).toBe('2001:db8:0:0')
  expect(networkOf('2001:db8:1:2::1')).not.toBe(networkOf('2001:db8:1:3::1'))
  expect(networkOf('::1')).toBe('0:0:0:0')
})
