import { type Logger, pino } from 'pino'
import pretty from 'pino-pretty'
import { Problem } from '../core/errors.ts'

export type { Logger }

/**
 * Logs to standard output: JSON lines, or plain ones where a person reads them in a terminal. Bound fields (`run`, `range`)
 * stand on every line of what they concern.
 */
export function createLogger(level: string, terminal = process.stdout.isTTY): Logger {
  const options = {
    level,
    base: { service: 'evenkeel', pid: process.pid },
    timestamp: pino.stdTimeFunctions.isoTime,
    serializers: { err: serializeError },
  }
  return terminal ? pino(options, plainLines()) : pino(options)
}

/** Fields that a person wants beside the words; all others are in the JSON only. */
const shown = [
  'database',
  'range',
  'phase',
  'done',
  'scanned',
  'left',
  'quarantined',
  'signal',
  'actor',
  'reason',
  'error',
]

/** A log line as a person reads it: which run, the words, the error, and the fields that matter. */
export function plainLine(line: Readonly<Record<string, unknown>>): string {
  const { run, msg, err } = line as { run?: string; msg?: string; err?: { message?: string } }
  const fields = shown.flatMap((name) =>
    line[name] === undefined || line[name] === null ? [] : [`${name}=${String(line[name])}`],
  )
  return [
    ...(run === undefined ? [] : [`${run}:`]),
    msg ?? '',
    ...(err?.message === undefined ? [] : [`(${err.message})`]),
    ...fields,
  ].join(' ')
}

function plainLines() {
  return pretty({
    colorize: process.stdout.isTTY && !process.env.NO_COLOR,
    translateTime: 'SYS:HH:MM:ss',
    include: 'level,time',
    sync: true,
    messageFormat: plainLine,
  })
}

/**
 * An error's words and where it arose, and nothing else that hangs on it: a Redis client's error carries the command that
 * was refused, which for AUTH is the password, and a Postgres error may carry rows.
 */
export function serializeError(error: unknown): unknown {
  if (!(error instanceof Error)) return error
  const { code } = error as { code?: string }
  return {
    type: error.name,
    message: error.message,
    ...(code === undefined ? {} : { code }),
    // A Problem is for a person to solve: where in our code it arose tells nothing.
    ...(error instanceof Problem ? {} : { stack: error.stack }),
    ...(error.cause === undefined ? {} : { cause: serializeError(error.cause) }),
  }
}
