import { CronExpressionParser } from 'cron-parser'
import { messageOf } from './errors.ts'

/** The times at which a run may work: every minute that the cron expression names, in this time zone. */
export interface Schedule {
  readonly cron: string
  readonly timeZone: string
}

const minuteMs = 60_000
const shortestMinutes = 5

/** Whether a run may work at this time. */
export function isOpen(schedule: Schedule, at: Date): boolean {
  return parse(schedule, at).includesDate(startOfMinute(at))
}

/** When it may work next; `at` itself where it may work then. */
export function opensAt(schedule: Schedule, at: Date): Date {
  return isOpen(schedule, at) ? at : parse(schedule, at).next().toDate()
}

/** What is wrong with a schedule, in words; null where nothing is. */
export function scheduleFault(schedule: Schedule): string | null {
  try {
    new Intl.DateTimeFormat('en', { timeZone: schedule.timeZone })
  } catch {
    return `there is no time zone ${JSON.stringify(schedule.timeZone)}: use a name such as Europe/Vienna`
  }
  if (schedule.cron.trim().split(/\s+/).length !== 5) {
    return 'cron has not five fields: minute, hour, day of the month, month, day of the week'
  }
  try {
    const opens = parse(schedule, new Date(0)).next().toDate()
    // Who writes "0 22 * * *" means from ten o'clock on, and would get one minute a day.
    for (let minute = 1; minute < shortestMinutes; minute += 1) {
      if (isOpen(schedule, new Date(opens.getTime() + minute * minuteMs))) continue
      return `it names every minute in which the run may work, and this one is open for ${minute} min at a time: for ten at night to six, write "* 22-23,0-5 * * *"`
    }
    return null
  } catch (error) {
    return `cron cannot be read: ${messageOf(error)}`
  }
}

function startOfMinute(at: Date): Date {
  return new Date(Math.floor(at.getTime() / minuteMs) * minuteMs)
}

function parse({ cron, timeZone }: Schedule, currentDate: Date) {
  return CronExpressionParser.parse(cron.trim(), { tz: timeZone, currentDate })
}
