import { describe, expect, test } from 'vitest'
import { evenkeel } from '../../bench/speed/cases.ts'
import { between, measuredText } from '../../bench/speed/docs.ts'
import { goalsOf } from '../../bench/speed/goals.ts'
import { Holds } from '../../bench/speed/holds.ts'
import { bigUpdate, doLoop, keysetLoops } from '../../bench/speed/loops.ts'
import type { Figures } from '../../bench/speed/measure.ts'
import { readOptions } from '../../bench/speed/options.ts'
import { type Entry, mediansOf, merge } from '../../bench/speed/results.ts'
import type { Setting } from '../../bench/speed/setting.ts'
import { steadyRate } from '../../bench/speed/steady.ts'
import { tableOf } from '../../bench/speed/tables.ts'

const million: Setting = { rows: 1_000_000, keys: 'bigint', width: 'narrow', fsync: 'on' }
const machine = { platform: 'linux 6', cpu: 'some', cores: 2, memoryGb: 8 }

function turn(rowsPerSecond: number, change: Partial<Figures> = {}): Figures {
  return {
    seconds: 1_000_000 / rowsPerSecond,
    rows: 1_000_000,
    done: true,
    rowsPerSecond,
    walBytesPerRow: 400,
    longestLock: 12,
    growth: 2,
    clientSecondsPerMillion: 1.5,
    steadyRowsPerSecond: null,
    checkSeconds: null,
    cpu: 0.5,
    cpuOthers: 0,
    ...change,
  }
}

function entry(name: string, speeds: readonly number[], setting = million, change: Partial<Figures> = {}): Entry {
  const versions = { evenkeel: '1', node: 'v20', postgres: 'PostgreSQL 18' }
  return { name, setting, versions, atMost: 60, rounds: speeds.map((speed) => turn(speed, change)) }
}

describe('results of several invocations', () => {
  test('a case measured again replaces what it was, in its own setting only', () => {
    const wide: Setting = { ...million, width: 'wide' }
    const older = [entry(bigUpdate, [100]), entry(bigUpdate, [50], wide)]
    const merged = merge(older, [entry(bigUpdate, [120])])
    expect(merged.map(({ setting, rounds }) => [setting.width, rounds[0]?.rowsPerSecond])).toEqual([
      ['narrow', 120],
      ['wide', 50],
    ])
  })

  test('their order does not depend on who came first', () => {
    const all = [
      entry(evenkeel(2, 'Redis'), [1]),
      entry(bigUpdate, [1], { ...million, rows: 4_000_000 }),
      entry(doLoop, [1]),
      entry(bigUpdate, [1]),
      entry(bigUpdate, [1], { ...million, fsync: 'off' }),
    ]
    expect(merge(all, [])).toEqual(merge([], all.toReversed()))
    expect(merge(all, []).map(({ name }) => name)).toEqual([
      bigUpdate,
      doLoop,
      evenkeel(2, 'Redis'),
      bigUpdate,
      bigUpdate,
    ])
  })

  test('a median leaves out what could not be told', () => {
    const rounds = [turn(3), turn(1, { steadyRowsPerSecond: 7 }), turn(2)]
    const medians = mediansOf({ ...entry('x', []), rounds })
    expect(medians).toMatchObject({ rowsPerSecond: 2, steadyRowsPerSecond: 7, checkSeconds: null })
  })
})

describe('goals', () => {
  const measured = [
    entry(bigUpdate, [100]),
    entry(doLoop, [20]),
    entry(keysetLoops[0], [90]),
    entry(keysetLoops[1], [100]),
    entry(evenkeel(1, 'Postgres'), [96]),
    entry(evenkeel(2, 'Postgres'), [170]),
    entry(evenkeel(2, 'Redis'), [160]),
  ]
  const verdicts = (entries: readonly Entry[]) => goalsOf(entries).map(({ value, met }) => [value, met])

  test('the slower queue is set against the fastest of the others', () => {
    expect(verdicts(measured)).toEqual([
      [1.6, true],
      [0.96, true],
      [8, true],
    ])
  })

  test('with the disk out of it more is asked of two workers', () => {
    const fsyncOff = measured.map((each) => ({ ...each, setting: { ...each.setting, fsync: 'off' as const } }))
    expect(goalsOf(fsyncOff)[0]?.text).toContain('1.5')
    expect(goalsOf(measured)[0]?.text).toContain('0.95')
  })

  test('a larger table is set against a million rows', () => {
    const four: Setting = { ...million, rows: 4_000_000 }
    const larger = [entry(doLoop, [10], four), entry(evenkeel(2, 'Postgres'), [140], four)]
    expect(verdicts([...measured, ...larger]).slice(3)).toEqual([
      [14, true],
      [0.875, false],
      [1.75, true],
    ])
  })

  test('nothing is concluded from what others disturbed, from what is missing, or from small tables', () => {
    const disturbed = [entry(bigUpdate, [100]), entry(evenkeel(2, 'Redis'), [170], million, { cpuOthers: 0.3 })]
    expect(verdicts(disturbed)).toEqual([[1.7, null]])
    expect(goalsOf([entry(bigUpdate, [100])])).toEqual([])
    expect(goalsOf([entry(bigUpdate, [0]), entry(evenkeel(2, 'Redis'), [170])])).toEqual([])
    expect(goalsOf(measured.map((each) => ({ ...each, setting: { ...million, rows: 100_000 } })))).toEqual([])
  })
})

describe('the report', () => {
  test('a line for each case: its ratio, and how far it came', () => {
    const slow = entry(doLoop, [5_000], million, { done: false, rows: 300_000, walBytesPerRow: null })
    const [, , first, second] = tableOf([entry(bigUpdate, [100_000, 110_000, 90_000]), slow]).split('\n')
    expect(first).toMatch(/one big UPDATE .*100,000 .*1\.00 x .*400 B .*12 ms .*2\.00 x .*1\.5 s/)
    expect(second).toMatch(/DO loop .*5,000 .*0\.05 x .*30 % done in 60 s/)
  })

  test('goes between its marks and leaves the rest alone, any number of times', () => {
    const marks = ['<!-- measured: written by npm run bench:report -->', '<!-- /measured -->']
    const page = `# before\n\n${marks[0]}\n\nold\n\n${marks[1]}\n\nafter\n`
    const once = between(page, measuredText({ machine, entries: [entry(bigUpdate, [100])] }))
    expect(once).toMatch(/^# before\n.*some, 2 cores.*1,000,000 rows, bigint keys.*after\n$/s)
    expect(once).not.toContain('old')
    expect(between(once, 'new')).toBe(page.replace('old', 'new'))
    expect(() => between('nothing', 'new')).toThrow('no lines')
  })
})

describe('what is watched', () => {
  test('a lock counts from the look before it was seen', () => {
    const holds = new Holds(0)
    holds.look(10, [])
    holds.look(20, ['a'])
    holds.look(30, ['a', 'b'])
    holds.look(40, ['b'])
    expect(holds.longestMs).toBe(20)
    holds.look(50, ['b'])
    holds.look(60, ['a'])
    expect(holds.longestMs).toBe(30)
  })

  test('full pace begins after the last look at which the run was held back', () => {
    const look = (at: number, rows: number, held: boolean) => ({ at: at * 1000, rows, held })
    const samples = [
      look(0, 0, false),
      look(1, 10, true),
      look(2, 100, false),
      look(3, 300, false),
      look(4, 500, false),
    ]
    expect(steadyRate(samples)).toBe(200)
    expect(steadyRate(samples.slice(0, 3))).toBeNull()
    expect(steadyRate([...samples, look(5, 600, true)])).toBeNull()
  })
})

describe('options', () => {
  test('every size with every kind of key and width', () => {
    const { settings, rounds } = readOptions(['--rows', '1000000,4000000', '--keys', 'bigint,uuid', '--fsync', 'off'])
    expect(rounds).toBe(5)
    expect(settings).toHaveLength(4)
    expect(settings[3]).toEqual({ rows: 4_000_000, keys: 'uuid', width: 'narrow', fsync: 'off' })
  })

  test('--only takes parts of names, and none that is part of no name', () => {
    const names = (argv: string[]) => readOptions(argv).cases.map(({ name }) => name)
    expect(names(['--only', 'update', '--only', '2 workers'])).toEqual([
      bigUpdate,
      evenkeel(2, 'Postgres'),
      evenkeel(2, 'Redis'),
    ])
    expect(names(['--only', 'keyset,do loop'])).toEqual([doLoop, ...keysetLoops])
    expect(() => names(['--only', 'nobody'])).toThrow('--only nobody')
    expect(() => names(['--rows', '1e-3'])).toThrow('--rows')
  })
})
