import { quoteIdentifier } from '../core/sql/identifier.ts'
import type { Reading, SignalName } from '../core/throttle/signal.ts'

export function unknown(signal: SignalName, detail: string): Reading {
  return { signal, value: null, detail }
}

/** Says that a role sees too little, of what, and what to do. */
export function mayNotSee(role: string, what: string): string {
  const quoted = quoteIdentifier(role)
  return `role ${quoted} may not see ${what}: GRANT pg_monitor TO ${quoted}`
}

export const inRecovery =
  'this server is a standby: point DATABASE_URL to the primary, or wait until this one has been promoted'

/** "1 session waits", "2 sessions wait". */
export function count(number: number, one: string, many: string): string {
  return `${number} ${number === 1 ? one : many}`
}
