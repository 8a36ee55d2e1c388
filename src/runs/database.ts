import type { Pool } from 'pg'
import type { RunOptions } from '../core/job/options.ts'
import type { Timings } from '../core/timings.ts'
import type { JobKinds } from '../engine/kinds/kind.ts'
import type { TicketQueue } from '../queue/queue.ts'
import type { Registry } from '../registry/registry.ts'
import type { Control } from '../store/control.ts'
import type { Logger } from '../telemetry/logger.ts'

/** One database, and what the API reaches it by. */
export interface Database {
  /** As DATABASES names it; null where there is but one, without a name. */
  readonly name: string | null
  readonly control: Control
  /** The same, by sessions that nothing else uses: to pause and to cancel. */
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

/** What replicas there are for a run that shall start. */
export interface ReplicaCheck {
  /** What keeps them from being watched as its options demand, each with what to do; empty where nothing does. */
  readonly findings: readonly string[]
  /** Those that stream now, and how many by each name: to be missed when they go. Null where none is to be. */
  readonly standbys: ReadonlyMap<string, number> | null
}

/** The databases as pause and cancel reach them. */
export function asBrakes(databases: readonly Database[]): readonly Database[] {
  return databases.map((db) => ({ ...db, control: db.brake }))
}
