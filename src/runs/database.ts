import type { Pool } from 'pg'
import type { RunOptions } from '../core/job/options.ts'
import type { Timings } from '../core/timings.ts'
import type { JobKinds } from '../engine/kinds/kind.ts'
import type { TicketQueue } from '../queue/queue.ts'
import type { Registry } from '../registry/registry.ts'
import type { Control } from '../store/control.ts'
import type { Logger } from '../telemetry/logger.ts'

/** One database, with the pools and the queue that the API uses for it. */
export interface Database {
  /** The name in DATABASES; null for a single database without a name. */
  readonly name: string | null
  readonly control: Control
  /** The same control schema over sessions reserved for pause and cancel. */
  readonly brake: Control
  /** Sessions for users' tables: checks, plans and dry runs. */
  readonly engine: Pool
  readonly queue: TicketQueue
  readonly registry: Registry
  readonly kinds: JobKinds
  readonly log: Logger
  readonly timings: Timings
  readonly checkReplicas: (options: RunOptions) => Promise<ReplicaCheck>
}

/** The replicas that a new run would watch. */
export interface ReplicaCheck {
  /** Why they cannot be watched as the options demand, each with the remedy. Empty if they can. */
  readonly findings: readonly string[]
  /**
   * Standbys that stream now, and how many by each name. The run is held when one is missing. Null if none is expected.
   */
  readonly standbys: ReadonlyMap<string, number> | null
}

/** The databases over the sessions reserved for pause and cancel. */
export function asBrakes(databases: readonly Database[]): readonly Database[] {
  return databases.map((db) => ({ ...db, control: db.brake }))
}
