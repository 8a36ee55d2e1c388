import type { Token } from '../core/token.ts'
import type { Registry } from '../registry/registry.ts'
import type { Database } from '../runs/database.ts'
import type { Exposition } from '../telemetry/exposition.ts'
import type { Logger } from '../telemetry/logger.ts'

/** What the API is given by whoever composes it. */
export interface ApiDeps {
  /** One without a name, or any number that each have theirs. */
  readonly databases: readonly Database[]
  readonly registry: Registry
  readonly log: Logger
  readonly exposition: Exposition
  readonly tokens: readonly Token[]
  /** Of one token; without tokens, of one address. */
  readonly callsPerSecond: number
}
