import type { Pool } from 'pg'
import type { Catalogue } from '../catalogue/catalogue.ts'
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
  readonly tokens: readonly Token[]
}
