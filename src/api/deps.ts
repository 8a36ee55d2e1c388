import type { Token } from '../core/token.ts'
import type { Registry } from '../registry/registry.ts'
import type { Database } from '../runs/database.ts'
import type { Exposition } from '../telemetry/exposition.ts'
import type { Logger } from '../telemetry/logger.ts'

/** Dependencies of the API, built by the process that serves it. */
export interface ApiDeps {
  /** Either one database without a name, or any number of named ones. */
  readonly databases: readonly Database[]
  readonly registry: Registry
  readonly log: Logger
  readonly exposition: Exposition
  readonly tokens: readonly Token[]
  /** Limit for one token; without tokens, for one address. */
  readonly callsPerSecond: number
}
