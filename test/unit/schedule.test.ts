import { assert, constantFrom, integer, property } from 'fast-check'
import { describe, expect, test } from 'vitest'
import { isOpen, opensAt, scheduleFault } from '../../src/core/throttle/schedule.ts'
import { perCommit } from '../support/tier.ts'

const minuteMs = 60_000
const vienna = 'Europe/Vienna'
const nights = { cron: '* 22-23,0-5 * * *', timeZone: vienna }

const at = (time: string) => new Date(time)
const later = (time: Date, minutes: number) => new Date(time.getTime() + minutes * minuteMs)

/** The minutes from a time on, and whether each is open. */
function minutes(cron: string, timeZone: string, from: string, count: number): string {
  return Array.from({ length: count }, (_, minute) =>
    isOpen({ cron, timeZone }, later(at(from), minute)) ? 'o' : '.',
  ).join('')
}

describe('a schedule', () => {
  test('is open in every minute that it names, from its first moment to its last', () => {
    const weekend = { cron: '30-59 9 * * SAT,SUN', timeZone: 'UTC' }
    expect(isOpen(weekend, at('2026-05-02T09:29:59.999Z'))).toBe(false)
    expect(isOpen(weekend, at('2026-05-02T09:30:00.000Z'))).toBe(true)
    expect(isOpen(weekend, at('2026-05-02T09:59:59.999Z'))).toBe(true)
    expect(isOpen(weekend, at('2026-05-02T10:00:00.000Z'))).toBe(false)
    expect(isOpen(weekend, at('2026-05-04T09:45:00.000Z'))).toBe(false)
  })

  test('is read in its own time zone, whichever this process is in', () => {
    expect(isOpen(nights, at('2026-01-15T20:59:00Z'))).toBe(false)
    expect(isOpen(nights, at('2026-01-15T21:00:00Z'))).toBe(true)
    expect(isOpen(nights, at('2026-07-15T20:00:00Z'))).toBe(true)
    expect(isOpen({ cron: '* 22 * * *', timeZone: 'Asia/Kolkata' }, at('2026-01-15T16:30:00Z'))).toBe(true)
    expect(isOpen({ cron: '* 22 * * *', timeZone: 'Asia/Kolkata' }, at('2026-01-15T16:29:00Z'))).toBe(false)
    expect(isOpen({ cron: '* 22 * * *', timeZone: 'America/New_York' }, at('2026-01-16T03:30:00Z'))).toBe(true)
  })

  test('is as long as the clocks make it: a night of seven hours in spring, and of nine in autumn', () => {
    const open = (from: string) => minutes(nights.cron, vienna, from, 24 * 60).split('o').length - 1
    expect(open('2026-03-27T12:00:00Z')).toBe(8 * 60)
    expect(open('2026-03-28T12:00:00Z')).toBe(7 * 60)
    expect(open('2026-10-24T12:00:00Z')).toBe(9 * 60)
  })

  test('in an hour that the clocks leave out is not open that day', () => {
    const two = { cron: '* 2 * * *', timeZone: vienna }
    expect(minutes(two.cron, vienna, '2026-03-29T00:00:00Z', 180)).toBe('.'.repeat(180))
    expect(opensAt(two, at('2026-03-29T00:30:00Z'))).toEqual(at('2026-03-30T00:00:00Z'))
    expect(opensAt({ cron: '30-45 2 * * *', timeZone: vienna }, at('2026-03-29T00:30:00Z'))).toEqual(
      at('2026-03-30T00:30:00Z'),
    )
  })

  test('in an hour that comes twice is open twice', () => {
    expect(minutes('0-9 2 * * *', vienna, '2026-10-25T00:00:00Z', 120)).toBe(
      `${'o'.repeat(10)}${'.'.repeat(50)}${'o'.repeat(10)}${'.'.repeat(50)}`,
    )
  })
})

test('however many schedules there are, each is open in its own minutes', () => {
  const all = Array.from({ length: 150 }, (_, index) => ({ minute: index % 60, hour: Math.floor(index / 60) }))
  for (const round of [1, 2]) {
    for (const { minute, hour } of all) {
      const schedule = { cron: `${minute} ${hour} * * *`, timeZone: 'UTC' }
      const named = new Date(Date.UTC(2026, 0, 15, hour, minute))
      expect([isOpen(schedule, named), isOpen(schedule, later(named, 1))], `${schedule.cron}, ${round}`).toEqual([
        true,
        false,
      ])
    }
  }
})

describe('when it opens', () => {
  test('is now where it is open', () => {
    const now = at('2026-01-15T23:12:34.567Z')
    expect(opensAt(nights, now)).toEqual(now)
  })

  test('is the first minute that it names', () => {
    expect(opensAt(nights, at('2026-01-15T12:34:56Z'))).toEqual(at('2026-01-15T21:00:00Z'))
    expect(opensAt(nights, at('2026-07-15T12:34:56Z'))).toEqual(at('2026-07-15T20:00:00Z'))
    expect(opensAt({ cron: '* * 29 2 *', timeZone: 'UTC' }, at('2026-01-15T12:34:56Z'))).toEqual(
      at('2028-02-29T00:00:00Z'),
    )
    expect(opensAt({ cron: '* 9 * * MON', timeZone: 'America/New_York' }, at('2026-03-07T12:00:00Z'))).toEqual(
      at('2026-03-09T13:00:00Z'),
    )
  })

  test('is the same however often, and in whichever order, it is asked', () => {
    const [early, late] = [at('2026-01-15T12:00:00Z'), at('2026-06-15T12:00:00Z')]
    const first = [opensAt(nights, early), opensAt(nights, late)]
    expect([opensAt(nights, late), opensAt(nights, early)].reverse()).toEqual(first)
  })

  test('is open, and nothing before it is', () => {
    const times = property(
      constantFrom('* 22-23,0-5 * * *', '0-29 * * * *', '* 2 * * *', '* 9-17 * * MON-FRI', '15-44 1,3 * * *'),
      constantFrom(vienna, 'America/New_York', 'Asia/Kolkata', 'Australia/Lord_Howe', 'UTC'),
      // Each zone's spring is among the days. In the hour that comes twice, in autumn, the second pass may go untold.
      constantFrom('2026-03-07', '2026-03-28', '2026-05-12', '2026-10-02', '2026-11-10'),
      integer({ min: 0, max: 2880 }),
      (cron, timeZone, day, minute) => {
        const [schedule, from] = [{ cron, timeZone }, later(at(`${day}T00:00:00Z`), minute)]
        const opens = opensAt(schedule, from)
        expect(isOpen(schedule, opens)).toBe(true)
        for (let time = from; time < opens; time = later(time, 1)) expect(isOpen(schedule, time)).toBe(false)
      },
    )
    assert(times, { numRuns: perCommit(15, { nightly: 60 }) })
  })
})

describe('a fault of a schedule', () => {
  const fault = (cron: string, timeZone = 'UTC') => scheduleFault({ cron, timeZone })

  test.for([
    '* * * * *',
    '* 22-23,0-5 * * *',
    ' *  22  * * * ',
    '0-29 * * * *',
    '* 9-17 * * MON-FRI',
    '* * * JAN,FEB 7',
    '* * L * *',
    '* * 29 2 *',
    '0-30/1 3 * * THU',
  ])('is none in %j', (cron) => {
    expect(fault(cron)).toBeNull()
  })

  test('is none in five minutes at a time, wherever they lie and in whichever zone', () => {
    for (const zone of ['UTC', vienna, 'Asia/Kolkata', 'Asia/Kathmandu', 'America/St_Johns']) {
      for (const from of [0, 13, 28, 30, 44, 55]) {
        expect(fault(`${from}-${from + 4} * * * *`, zone), `${from} in ${zone}`).toBeNull()
        expect(fault(`${from}-${from + 3} * * * *`, zone), `${from} in ${zone}`).toContain('4 min at a time')
      }
    }
  })

  test.for(['0 22 * * *', '30 2 * * SUN', '*/2 * * * *', '*/15 * * * *'])(
    'is in %j that it means a minute at a time, and what to write is said',
    (cron) => {
      expect(fault(cron)).toContain('it names every minute in which the run may work')
      expect(fault(cron)).toContain('open for 1 min at a time')
      expect(fault(cron)).toContain('write "* 22-23,0-5 * * *"')
    },
  )

  test.for(['', '* * * *', '* * * * * *', '@daily', 'nightly'])('is in %j that it has not five fields', (cron) => {
    expect(fault(cron)).toBe('cron must have five fields: minute, hour, day of the month, month, day of the week')
  })

  test.for([
    '60 * * * *',
    '* 25 * * *',
    '* * 0 * *',
    '* * * 13 *',
    '* * * * 8',
    '* 22-5 * * *',
    'a * * * *',
    '* * 31 2 *',
  ])('is in %j that it cannot be read', (cron) => {
    expect(fault(cron)).toMatch(/^cron cannot be read: .*\S/)
  })

  test('is that H would be another hour in every process', () => {
    expect(fault('* H * * *')).toContain('cron has H')
    expect(fault('H(0-29) * * * *')).toContain('cron has H')
  })

  test.for(['', 'Mars/Olympus', 'UTC+2', 'Europe Vienna'])('is that there is no time zone %j', (zone) => {
    expect(fault('* * * * *', zone)).toBe(
      `there is no time zone ${JSON.stringify(zone)}: use a name such as Europe/Vienna`,
    )
  })
})
