import { type Logger, pino } from 'pino'

export type { Logger }

/** JSON lines on standard output. Bound fields (`run`, `range`) stand on every line of what they concern. */
export function createLogger(level: string): Logger {
  return pino({
    level,
    base: { service: 'evenkeel', pid: process.pid },
    timestamp: pino.stdTimeFunctions.isoTime,
    redact: {
      paths: ['req.headers.authorization', 'headers.authorization', '*.password', '*.connectionString', '*.url'],
      censor: '[redacted]',
    },
  })
}
