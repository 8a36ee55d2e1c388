import { type Logger, pino } from 'pino'

export type { Logger }

/** JSON lines on standard output. Bound fields (`run`, `range`) stand on every line of what they concern. */
export function createLogger(level: string): Logger {
  return pino({
    level,
    base: { service: 'evenkeel', pid: process.pid },
    timestamp: pino.stdTimeFunctions.isoTime,
    serializers: { err: serializeError },
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
    stack: error.stack,
    ...(error.cause === undefined ? {} : { cause: serializeError(error.cause) }),
  }
}
