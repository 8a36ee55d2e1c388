import type { ClientBase } from 'pg'
import type { JobDefinition } from '../../core/job/job.ts'
import type { Cursor, Leaf, Target } from '../../core/range/key.ts'
import type { PhaseName } from '../../core/range/phase.ts'
import type { CompiledSql, Sql } from '../../core/sql/template.ts'
import type { BatchInput, BatchResult } from '../batch/batch.ts'

/** What jobs of one kind do to rows. A kind is one folder; the rest of evenkeel knows kinds by this interface alone. */
export interface JobKind {
  /** What `kind` of a job says. */
  readonly name: string
  /** The phases that a run of it goes through, in their order. */
  readonly phases: readonly PhaseName[]
  /** Puts parameters into a job of this kind. Throws a Problem where the job does not take them. */
  resolve(job: JobDefinition, params: Record<string, unknown>, where: Sql | null): JobWork
}

/** Kinds by their names. */
export type JobKinds = ReadonlyMap<string, JobKind>

/** The work of a job whose parameters are known. */
export interface JobWork {
  /** What a batch does to a row, as Postgres names it: for rights, triggers and the strength of row locks. */
  readonly event: 'UPDATE' | 'DELETE'
  /** The columns that are written, each with its new value; none where rows are not changed but taken away. */
  readonly set: ReadonlyArray<readonly [column: string, value: Sql]>
  /** Batches of a table, or of one of its partitions. */
  open(place: WorkPlace): BatchRunner
}

/** A job with its parameters put in: everything the engine needs to know of it. */
export interface ResolvedJob extends JobWork {
  readonly kind: string
  readonly phases: readonly PhaseName[]
  readonly name: string
  /** As the job's schema returned them: defaults filled in. */
  readonly params: unknown
  readonly table: string
  readonly key: readonly string[] | null
  readonly where: Sql | null
  /** Hash of what the job does (not of its description or options): changes when a resumed run would do other work. */
  readonly fingerprint: string
}

/** Where a lease works. */
export interface WorkPlace {
  /** The control schema, quoted. */
  readonly s: string
  readonly target: Target
  /** The partition; null for a table without any, and for the stragglers of a partitioned one. */
  readonly leaf: Leaf | null
}

/** Runs the batches of one place. */
export interface BatchRunner {
  /**
   * One batch of a phase. Its effects and its checkpoint commit together, or neither does. Null when the fence was not passed. Throws what
   * Postgres throws; after a lost connection the outcome is unknown, and only the range's row can tell.
   */
  run(client: Pick<ClientBase, 'query'>, phase: PhaseName, input: BatchInput, look?: Look): Promise<BatchResult | null>
  /** Whether rows that a batch reported as matching after their change do so to a fresh look. */
  stillMatch(client: ClientBase, keys: readonly Cursor[]): Promise<boolean>
  /** The statement of a batch of rows, for EXPLAIN. */
  statement(input: Pick<BatchInput, 'cursor' | 'upper'>): CompiledSql
  /** Statements that Postgres is to parse and plan before a run is accepted. */
  statements(): readonly CompiledSql[]
}

/** How a batch of stragglers looks: a wide look passes by many that are held. */
export interface Look {
  readonly wide: boolean
}
