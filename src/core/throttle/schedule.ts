import { type CronExpression, CronExpressionParser } from 'cron-parser'
import { messageOf } from '../errors.ts'

/** The times at which a run may work: every minute that the cron expression names, in this time zone. */
export interface Schedule {
  readonly cron: string
  readonly timeZone: string
}

const minuteMs = 60_000
const minMinutes = 5

/** Whether a run may work at this time. */
export function isOpen(schedule: Schedule, at: Date): boolean {
  return parse(schedule).includesDate(startOfMinute(at))
}

/** The next time at which it may work; `at` itself if it may work then. */
export function opensAt(schedule: Schedule, at: Date): Date {
  if (isOpen(schedule, at)) return at
  const expression = parse(schedule)
  expression.reset(at)
  let opens: Date
  // cron-parser offers an hour that the clocks skip in spring as the hour after it, which the schedule does not name.
  do opens = expression.next().toDate()
  while (!isOpen(schedule, opens))
  return opens
}

/** What is wrong with a schedule, in words; null if nothing is. */
export function scheduleFault(schedule: Schedule): string | null {
  try {
    new Intl.DateTimeFormat('en', { timeZone: schedule.timeZone })
  } catch {
    return `there is no time zone ${JSON.stringify(schedule.timeZone)}: use a name such as Europe/Vienna`
  }
  if (schedule.cron.trim().split(/\s+/).length !== 5) {
    return 'cron must have five fields: minute, hour, day of the month, month, day of the week'
  }
  if (/\bH\b/i.test(schedule.cron)) {
    return 'cron has H, which means another time in every process: name the time'
  }
  try {
    const opens = opensAt(schedule, new Date(0))
    const minutes = openMinutes(schedule, opens, -1) + 1 + openMinutes(schedule, opens, 1)
    if (minutes >= minMinutes) return null
    // The author of "0 22 * * *" means from ten o'clock on, and would get one minute a day.
    return `it names every minute in which the run may work, and this one is open for ${minutes} min at a time: for ten at night to six, write "* 22-23,0-5 * * *"`
  } catch (error) {
    return `cron cannot be read: ${messageOf(error)}`
  }
}

/** How many minutes just before or after this one are open too, up to the number that matters. */
function openMinutes(schedule: Schedule, at: Date, direction: 1 | -1): number {
  let minutes = 0
  while (minutes < minMinutes) {
    if (!isOpen(schedule, new Date(at.getTime() + direction * (minutes + 1) * minuteMs))) break
    minutes += 1
  }
  return minutes
}

function startOfMinute(at: Date): Date {
  return new Date(Math.floor(at.getTime() / minuteMs) * minuteMs)
}

const maxKept = 100
const kept = new Map<string, CronExpression>()

/** Parsed once, because it is asked before every batch. */
function parse({ cron, timeZone }: Schedule): CronExpression {
  const key = JSON.stringify([cron, timeZone])
  const known = kept.get(key)
  if (known) return known
  const expression = CronExpressionParser.parse(cron.trim(), { tz: timeZone })
  if (kept.size >= maxKept) kept.clear()
  kept.set(key, expression)
  return expression
}
