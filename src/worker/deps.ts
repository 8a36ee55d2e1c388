import type { Pool } from 'pg'
import type { Observe } from '../core/run/observe.ts'
import type { Timings } from '../core/timings.ts'
import type { JobKinds } from '../engine/kinds/kind.ts'
import type { TicketQueue } from '../queue/queue.ts'
import type { Registry } from '../registry/registry.ts'
import type { Control } from '../store/control.ts'
import type { Logger } from '../telemetry/logger.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import type { PaceController } from './pace-controller.ts'

/** Everything that a worker needs from its process. */
export interface WorkerDeps {
  readonly control: Control
  /** Sessions for users' tables, one per slot. */
  readonly engine: Pool
  readonly queue: TicketQueue
  readonly registry: Registry
  readonly kinds: JobKinds
  readonly log: Logger
  readonly metrics: Metrics
  readonly pace: PaceController
  readonly timings: Timings
  readonly observe: Observe | undefined
  /** Name of this process in leases and events: host and process. */
  readonly name: string
}
