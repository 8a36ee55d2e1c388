import { assert, constantFrom, double, integer, property, record } from 'fast-check'
import { describe, expect, test } from 'vitest'
import { dice, fullRate, type Second, simulate, type WorldSpec } from '../support/replica-model.ts'
import { perCommit } from '../support/tier.ts'

/*
 * What is promised of the pace, on a simulated database, with its limits. A replica is told by the part that it can replay
 * of what the workers write when they work all the time.
 */

const seconds = (spec: Omit<WorldSpec, 'seconds'> & { readonly seconds?: number }) =>
  simulate({ seconds: 240, ...spec }).seconds
const between = (all: readonly Second[], from: number, to: number) => all.filter(({ t }) => t > from && t <= to)
const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length
const spread = (values: readonly number[]) =>
  Math.sqrt(mean(values.map((value) => (value - mean(values)) ** 2))) / mean(values)
const lagsOf = (all: readonly Second[]) => all.map(({ lag }) => lag)
const loadsOf = (all: readonly Second[]) => all.map(({ load }) => load)
const valuesOf = (all: readonly Second[], name: 'commit-latency' | 'active' | 'slots' | 'replica-bytes') =>
  all.map(({ values }) => values[name] ?? 0)
const replayed = (all: readonly Second[]) => mean(all.map((second) => second.replayed[0] as number))
const written = (all: readonly Second[]) => mean(all.map((second) => second.written))
const heldSeconds = (all: readonly Second[]) => all.filter(({ hold }) => hold !== null).length
/** All but the rarest one in a hundred on either side. */
const usual = (values: readonly number[]) => {
  const sorted = [...values].sort((a, b) => a - b)
  const rare = Math.floor(sorted.length / 100)
  return { low: sorted[rare] as number, high: sorted[sorted.length - 1 - rare] as number }
}
/** The first of these seconds from which on five seconds wrote so much on average. */
const whenBack = (all: readonly Second[], bytes: number) =>
  all.findIndex((_, index) => written(all.slice(index, index + 5)) >= bytes) + 5

const seeds = perCommit([1], { nightly: [1, 2, 3] })
const fixed = { seed: 20_260_115 }
const onlyLag = { signals: { 'replica-bytes': false } as const }
const mebibyte = 1024 ** 2
const timeout = 120_000

describe('a replica that can replay a part of what the workers write', { timeout }, () => {
  const anyWorld = record({
    seed: integer({ min: 0, max: 1e9 }),
    // From a hundredth to three times as much, each as likely as its double.
    part: double({ min: Math.log(0.01), max: Math.log(3), noNaN: true }).map(Math.exp),
    workers: constantFrom(1, 2, 4, 8),
    delaySeconds: double({ min: 0, max: 0.2, noNaN: true }),
  })

  test('is never over the limit, is used up, and stays within half a second of its soft limit', () => {
    assert(
      property(anyWorld, ({ seed, part, workers, delaySeconds }) => {
        const rate = part * workers * fullRate
        const all = seconds({
          seed,
          workers: () => workers,
          options: onlyLag,
          replicas: [{ replay: () => rate, delaySeconds }],
        })
        // Also while it is found out what it can take.
        expect(Math.max(...lagsOf(all))).toBeLessThan(3.5)
        expect(heldSeconds(all)).toBe(0)
        const after = between(all, 60, 240)
        expect(replayed(after) / Math.min(rate, workers * fullRate)).toBeGreaterThan(0.97)
        if (part > 0.95) return
        const { low, high } = usual(lagsOf(after))
        expect(high - low).toBeLessThan(1)
        expect(low).toBeGreaterThan(1.4)
        expect(Math.max(...lagsOf(after))).toBeLessThan(2.9)
      }),
      { ...fixed, numRuns: perCommit(10, { nightly: 40 }) },
    )
  })

  test('by all signals of a standby together it is neither over a limit nor left idle', () => {
    assert(
      property(anyWorld, ({ seed, part, workers, delaySeconds }) => {
        const rate = part * workers * fullRate
        const all = seconds({ seed, workers: () => workers, replicas: [{ replay: () => rate, delaySeconds }] })
        expect(heldSeconds(all)).toBe(0)
        expect(Math.max(...lagsOf(all))).toBeLessThan(3.5)
        expect(Math.max(...valuesOf(all, 'replica-bytes'))).toBeLessThan(200 * mebibyte)
        expect(replayed(between(all, 60, 240)) / Math.min(rate, workers * fullRate)).toBeGreaterThan(0.95)
      }),
      { ...fixed, numRuns: perCommit(6, { nightly: 25 }) },
    )
  })

  test('and does so by fits and starts, is not over the limit either, and is used', () => {
    assert(
      property(anyWorld, ({ seed, part, workers, delaySeconds }) => {
        const random = dice(seed)
        const rate = Array.from({ length: 241 }, () => part * workers * fullRate * (0.7 + 0.6 * random()))
        const all = seconds({
          seed,
          workers: () => workers,
          options: onlyLag,
          replicas: [{ replay: (t) => rate[Math.floor(t)] as number, delaySeconds }],
        })
        expect(heldSeconds(all)).toBe(0)
        expect(Math.max(...lagsOf(all))).toBeLessThan(4.5)
        const most = mean(rate.slice(60).map((bytes) => Math.min(bytes, workers * fullRate)))
        expect(replayed(between(all, 60, 240)) / most).toBeGreaterThan(0.95)
      }),
      { ...fixed, numRuns: perCommit(6, { nightly: 25 }) },
    )
  })

  test.for([
    { maxLagSeconds: 1, within: 1 },
    { maxLagSeconds: 2, within: 1.1 },
    { maxLagSeconds: 20, within: 2 },
    { maxLagSeconds: 60, within: 5 },
  ])('under a limit of $maxLagSeconds s stays within $within s', ({ maxLagSeconds, within }) => {
    for (const seed of seeds) {
      const rate = 0.1 * 2 * fullRate
      const options = { ...onlyLag, maxLagSeconds }
      const all = seconds({ seed, seconds: 600, options, replicas: [{ replay: () => rate }] })
      const after = between(all, 300, 600)
      const { low, high } = usual(lagsOf(after))
      expect(high - low).toBeLessThan(within)
      expect(high).toBeLessThan(0.4 * maxLagSeconds + within)
      expect(heldSeconds(after)).toBeLessThan(6)
      expect(replayed(after) / rate).toBeGreaterThan(0.97)
    }
  })

  test('and is read by a heartbeat alone, in whole seconds, is found out within a minute, and is used', () => {
    for (const seed of seeds) {
      const rate = 0.2 * 2 * fullRate
      const signals = { 'replica-lag': false, 'replica-bytes': false } as const
      const all = seconds({ seed, heartbeat: true, options: { signals }, replicas: [{ replay: () => rate }] })
      expect(heldSeconds(between(all, 0, 60))).toBeLessThan(20)
      const after = between(all, 60, 240)
      expect(heldSeconds(after)).toBe(0)
      expect(replayed(after) / rate).toBeGreaterThan(0.97)
    }
  })

  test('beside one that can replay twice as much is the one that counts', () => {
    for (const seed of seeds) {
      const rate = 0.1 * 2 * fullRate
      const all = seconds({ seed, replicas: [{ replay: () => 2 * rate }, { replay: () => rate }] })
      expect(heldSeconds(all)).toBe(0)
      expect(written(between(all, 60, 240)) / rate).toBeGreaterThan(0.95)
      expect(Math.max(...lagsOf(between(all, 60, 240)))).toBeLessThan(2.9)
    }
  })
})

describe('a capacity that changes', { timeout }, () => {
  const change = (from: number, to: number, seed: number) =>
    seconds({
      seed,
      seconds: 300,
      options: onlyLag,
      replicas: [{ replay: (t) => (t < 150 ? from : to) * 2 * fullRate }],
    })

  test.for([
    { from: 0.2, to: 0.4 },
    { from: 0.05, to: 0.2 },
    { from: 0.1, to: 0.8 },
  ])('from $from to $to is made use of within 25 s, without a hold', ({ from, to }) => {
    for (const seed of seeds) {
      const after = between(change(from, to, seed), 150, 300)
      expect(heldSeconds(after)).toBe(0)
      expect(whenBack(after, 0.9 * to * 2 * fullRate)).toBeLessThan(25)
      expect(Math.max(...lagsOf(after))).toBeLessThan(3.5)
    }
  })

  test.for([
    { from: 0.4, to: 0.3, held: 0, calm: 25 },
    { from: 0.4, to: 0.2, held: 12, calm: 30 },
    { from: 0.2, to: 0.05, held: 25, calm: 60 },
    { from: 0.8, to: 0.1, held: 60, calm: 90 },
  ])('from $from to $to holds for $held s at most, and is calm after $calm s', ({ from, to, held, calm }) => {
    for (const seed of seeds) {
      const after = between(change(from, to, seed), 150, 300)
      expect(heldSeconds(after)).toBeLessThanOrEqual(held)
      const settled = between(after, 150 + calm, 300)
      expect(heldSeconds(settled)).toBe(0)
      expect(Math.max(...lagsOf(settled))).toBeLessThan(3)
      expect(replayed(settled) / (to * 2 * fullRate)).toBeGreaterThan(0.95)
    }
  })

  test('by the WAL of others, six tenths of it, is found out within 30 s, and made use of 15 s after it has gone', () => {
    const rate = 0.4 * 2 * fullRate
    for (const seed of seeds) {
      const all = seconds({
        seed,
        seconds: 300,
        options: onlyLag,
        foreground: (t) => (t >= 120 && t < 210 ? 0.6 : 0.02) * rate,
        replicas: [{ replay: () => rate }],
      })
      expect(heldSeconds(all)).toBeLessThan(15)
      const shared = between(all, 150, 210)
      expect(heldSeconds(shared)).toBe(0)
      expect(Math.max(...lagsOf(shared))).toBeLessThan(4.5)
      expect(written(shared) / rate).toBeGreaterThan(0.35)
      expect(written(shared) / rate).toBeLessThan(0.45)
      expect(whenBack(between(all, 210, 300), 0.9 * 0.98 * rate)).toBeLessThan(15)
    }
  })

  test('for a moment, as replay stands still for a second or two, costs little', () => {
    for (const [still, part] of [
      [1, 0.98],
      [2, 0.95],
    ] as const) {
      for (const seed of seeds) {
        const rate = 0.5 * 2 * fullRate
        const replay = (t: number) => (t % 40 < still ? 0 : rate)
        const all = seconds({ seed, seconds: 300, options: onlyLag, replicas: [{ replay }] })
        expect(heldSeconds(all)).toBe(0)
        expect(replayed(between(all, 60, 300)) / (rate * (1 - still / 40))).toBeGreaterThan(part)
      }
    }
  })
})

describe('replay that is paused for a minute', { timeout }, () => {
  test.for([0.1, 0.5, 2])('and could replay $0 holds the run, which goes on by itself', (part) => {
    const rate = part * 2 * fullRate
    for (const seed of seeds) {
      const all = seconds({
        seed,
        foreground: () => 0.01 * rate,
        replicas: [{ replay: (t) => (t >= 120 && t < 180 ? 0 : rate) }],
      })
      const before = written(between(all, 90, 120))
      const paused = between(all, 120, 180)
      const begins = paused.findIndex(({ hold }) => hold !== null)
      const limit = paused.findIndex(({ lag }) => lag >= 5)
      // Within a look of the limit, and not without one.
      expect(begins).toBeLessThan(7)
      expect(begins - limit).toBeLessThanOrEqual(1)
      expect(begins).toBeGreaterThanOrEqual(limit)
      // From the next second on not a byte of ours, until replay is back.
      for (const { written, hold } of paused.slice(begins + 1)) {
        expect(hold).not.toBeNull()
        expect(written).toBe(0)
      }
      const after = between(all, 180, 240)
      expect(after.findIndex(({ hold }) => hold === null)).toBeLessThan(10)
      expect(whenBack(after, 0.8 * before)).toBeLessThan(25)
      expect(Math.max(...lagsOf(between(all, 200, 240)))).toBeLessThan(3.5)
    }
  })
})

describe('a backlog', { timeout }, () => {
  test.for([0.02, 0.1, 0.5])('of bytes on a standby that replays $0 comes to rest near its soft limit', (part) => {
    const rate = part * 2 * fullRate
    for (const seed of seeds) {
      const options = { signals: { 'replica-lag': false } as const }
      const all = seconds({ seed, seconds: 600, options, replicas: [{ replay: () => rate }] })
      const after = between(all, 300, 600)
      expect(heldSeconds(all)).toBe(0)
      expect(Math.max(...valuesOf(after, 'replica-bytes'))).toBeLessThan(80 * mebibyte)
      expect(Math.min(...valuesOf(after, 'replica-bytes'))).toBeGreaterThan(48 * mebibyte)
      expect(spread(loadsOf(after))).toBeLessThan(0.1)
      expect(replayed(after) / rate).toBeGreaterThan(0.97)
    }
  })

  test.for([0.02, 0.1, 0.5])(
    'in the slot of a consumer of $0 never holds, and the consumer always has work',
    (part) => {
      const rate = part * 2 * fullRate
      for (const seed of seeds) {
        const all = seconds({ seed, seconds: 900, replicas: [{ by: 'slot', replay: () => rate }] })
        expect(heldSeconds(all)).toBe(0)
        expect(Math.max(...valuesOf(all, 'slots'))).toBeLessThan(700 * mebibyte)
        expect(replayed(between(all, 60, 900)) / rate).toBeGreaterThan(0.95)
      }
    },
  )
})

describe('a pressure that answers to our own load', { timeout }, () => {
  const options = { targetBatchSeconds: 0.02 }
  /** How much longer a tiny transaction takes when so much of four workers' time is spent. */
  const probe = (noise: number) => (busy: number, _t: number, random: () => number) =>
    (1 + noise * (2 * random() - 1)) / Math.max(0.05, 1 - busy / 4)

  test.for([
    { noise: 0, most: 0.02, drop: 0.02, least: 1.3 },
    { noise: 0.1, most: 0.08, drop: 0.06, least: 1.2 },
    { noise: 0.2, most: 0.14, drop: 0.12, least: 1.15 },
    { noise: 0.4, most: 0.3, drop: 0.3, least: 0.95 },
  ])(
    'with a noise of $noise converges: spread under $most, no step down by over $drop',
    ({ noise, most, drop, least }) => {
      for (const seed of seeds) {
        const answers = { 'commit-latency': probe(noise) }
        const all = seconds({ seed, seconds: 420, options, workers: () => 4, others: () => 3, answers })
        const after = between(all, 180, 420)
        const loads = loadsOf(after)
        expect(spread(loads)).toBeLessThan(most)
        const drops = loads.map((load, index) => 1 - load / (loads[index - 1] ?? load))
        expect(Math.max(...drops)).toBeLessThan(drop)
        // At 1.5 times the quiet a third of the workers' time is spent; noise is met with care.
        expect(mean(loads)).toBeLessThan(1.4)
        expect(mean(loads)).toBeGreaterThan(least)
      }
    },
  )

  test('and over its limit holds, does not come back with the load that it was held with', () => {
    // Two cores that others use for three tenths of one: what we leave them makes a queue of them.
    const active = (busy: number) => {
      const used = Math.min(0.97, 0.3 / Math.max(0.1, 2 - busy))
      return Math.round(used / (1 - used)) / 2
    }
    for (const seed of seeds) {
      const all = seconds({ seed, seconds: 400, options, workers: () => 4, others: () => 3, answers: { active } })
      const after = between(all, 150, 400)
      expect(heldSeconds(after) / after.length).toBeLessThan(0.3)
      expect(mean(valuesOf(after, 'active'))).toBeLessThan(1)
    }
  })

  test('beside a replica: whichever comes first decides', () => {
    for (const seed of seeds) {
      const world = { seed, options: { ...options, ...onlyLag }, workers: () => 4, others: () => 3 }
      const slow = seconds({
        ...world,
        replicas: [{ replay: () => 0.1 * 4 * fullRate }],
        answers: { 'commit-latency': probe(0.1) },
      })
      expect(heldSeconds(slow)).toBe(0)
      expect(replayed(between(slow, 60, 240)) / (0.1 * 4 * fullRate)).toBeGreaterThan(0.97)
      const fast = seconds({
        ...world,
        replicas: [{ replay: () => 2 * 4 * fullRate }],
        answers: { 'commit-latency': probe(0.1) },
      })
      expect(Math.max(...lagsOf(fast))).toBeLessThan(1)
      expect(mean(loadsOf(between(fast, 120, 240)))).toBeGreaterThan(1.1)
      expect(mean(loadsOf(between(fast, 120, 240)))).toBeLessThan(1.4)
    }
  })
})

describe('workers', { timeout }, () => {
  test('that wait nearly all the time do batches of the same length: waiting is not counted', () => {
    for (const seed of seeds) {
      const options = { ...onlyLag, targetBatchSeconds: 0.02 }
      const rate = 0.05 * 2 * fullRate
      const { batches } = simulate({ seed, seconds: 180, options, replicas: [{ replay: () => rate }] })
      const late = batches.filter(({ t }) => t > 30).map((batch) => batch.seconds)
      expect(Math.min(...late)).toBeGreaterThan(0.018)
      expect(Math.max(...late)).toBeLessThan(0.022)
    }
  })

  test('between two slices do not cost the load anything', () => {
    for (const seed of seeds) {
      const all = seconds({ seed, replicas: [{ replay: () => 3 * 2 * fullRate }] })
      const after = between(all, 60, 240)
      expect(after.some(({ workers }) => workers < 2)).toBe(true)
      expect(Math.min(...loadsOf(after))).toBe(2)
      expect(mean(after.map(({ busy }) => busy))).toBeGreaterThan(1.95)
    }
  })

  test('that come and go, 2 to 16 to 2, never make the load jump', () => {
    for (const seed of seeds) {
      const rate = 0.1 * 2 * fullRate
      const all = seconds({
        seed,
        seconds: 360,
        workers: (t) => (t >= 150 && t < 250 ? 16 : 2),
        replicas: [{ replay: () => rate }],
      })
      const loads = loadsOf(between(all, 60, 360))
      for (const [index, load] of loads.entries()) expect(load / (loads[index - 1] ?? load)).toBeLessThan(1.1501)
      // Each does its first batch at once.
      const arrival = between(all, 150, 155)
      expect(mean(arrival.map(({ busy }) => busy))).toBeLessThan(2 * mean(loadsOf(arrival)))
      expect(heldSeconds(all)).toBe(0)
      expect(Math.max(...lagsOf(all))).toBeLessThan(4)
    }
  })

  test('of two processes take no more than those of one, and the steps are no more either', () => {
    const rate = 0.1 * 4 * fullRate
    const run = (seed: number, processes: number) =>
      seconds({ seed, processes, workers: () => 4, options: onlyLag, replicas: [{ replay: () => rate }] })
    for (const seed of seeds) {
      const [one, two] = [run(seed, 1), run(seed, 2)]
      const first = (all: readonly Second[], load: number) => all.findIndex((second) => second.load > load)
      expect(first(two, 0.3)).toBeGreaterThanOrEqual(first(one, 0.3) - 1)
      const { low, high } = usual(lagsOf(between(two, 60, 240)))
      expect(high - low).toBeLessThan(1)
      expect(written(between(two, 60, 240)) / written(between(one, 60, 240))).toBeCloseTo(1, 1)
      const busy = (all: readonly Second[]) => mean(between(all, 60, 240).map((second) => second.busy))
      expect(busy(two) / busy(one)).toBeLessThan(1.05)
      expect(heldSeconds(two)).toBe(0)
    }
  })
})
