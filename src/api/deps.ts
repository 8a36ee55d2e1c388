import type { Pool } from 'pg'
import type { Catalogue } from '../catalogue/catalogue.ts'
import type { RunOptions } from '../core/options.ts'
import type { Token } from '../core/token.ts'
import type { TicketQueue } from '../queue/tickets.ts'
import type { Control } from '../store/control.ts'
import type { Logger } from '../telemetry/logger.ts'
import type { Metrics } from '../telemetry/metrics.ts'

/** What the API is given by whoever composes it. */
export interface ApiDeps {
  readonly control: Control
  /** Sessions for users' tables: checks, plans and dry runs. */
  readonly engine: Pool
  readonly queue: TicketQueue
  readonly catalogue: Catalogue
  readonly log: Logger
  readonly metrics: Metrics
  /** What keeps replicas from being watched as a run with these options demands, each with what to do; empty where nothing does. */
  readonly checkReplicas: (options: RunOptions) => Promise<readonly string[]>
  readonly tokens: readonly Token[]
}
