import type { Pool } from 'pg'
import type { Catalogue } from '../catalogue/catalogue.ts'
import type { TicketQueue } from '../queue/tickets.ts'
import type { Control } from '../store/control.ts'
import type { Logger } from '../telemetry/logger.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import type { PaceKeeper } from './pace.ts'

/** What a worker is given by whoever composes it. */
export interface WorkerDeps {
  readonly control: Control
  /** Sessions for users' tables, one per slot. */
  readonly engine: Pool
  readonly queue: TicketQueue
  readonly catalogue: Catalogue
  readonly log: Logger
  readonly metrics: Metrics
  readonly pace: PaceKeeper
  /** Who holds a lease: host and process. */
  readonly name: string
}

/**
 * How long a worker that has gone quiet keeps its range. Each batch renews it, and one in flight is never taken for quiet:
 * its row is locked. Seconds.
 */
export const leaseSeconds = 5

/** The longest wait in which nothing renews the lease. Seconds. */
export const longestQuietSeconds = leaseSeconds / 3

/** What one ticket is worth, after which the worker gives way to other runs. Seconds. */
export const sliceSeconds = 5
