import type { ClientBase } from 'pg'
import type { JobDefinition } from '../../core/job/job.ts'
import type { Cursor, Leaf, Target } from '../../core/range/key.ts'
import type { PhaseName } from '../../core/range/phase.ts'
import type { CompiledSql, Sql } from '../../core/sql/template.ts'
import type { BatchInput, BatchResult } from '../batch/batch.ts'

/** What jobs of one kind do to rows. A kind is one folder; the rest of evenkeel knows kinds only by this interface. */
export interface JobKind {
  /** The value of `kind` in a job. */
  readonly name: string
  /** The phases of its runs, in their order. */
  readonly phases: readonly PhaseName[]
  /** Applies parameters to a job of this kind. Throws a Problem if the job does not take them. */
  resolve(job: JobDefinition, params: Record<string, unknown>, where: Sql | null): JobWork
}

/** Kinds by name. */
export type JobKinds = ReadonlyMap<string, JobKind>

/** The work of a job whose parameters are known. */
export interface JobWork {
  /** What a batch does to a row, in Postgres' terms: for rights, triggers and the strength of row locks. */
  readonly event: 'UPDATE' | 'DELETE'
  /** The columns that are written, each with its new value; empty if rows are deleted. */
  readonly set: ReadonlyArray<readonly [column: string, value: Sql]>
  /** The batches of a table, or of one of its partitions. */
  open(place: WorkPlace): BatchRunner
}

/** A job with its parameters applied: everything that the engine needs to know. */
export interface ResolvedJob extends JobWork {
  readonly kind: string
  readonly phases: readonly PhaseName[]
  readonly name: string
  /** As the job's schema returned them, with defaults filled in. */
  readonly params: unknown
  readonly table: string
  readonly key: readonly string[] | null
  readonly where: Sql | null
  /** Hash of the job's work (not of its description or options). If it changes, a resumed run would do other work. */
  readonly fingerprint: string
}

/** Where a lease works. */
export interface WorkPlace {
  /** The control schema, quoted. */
  readonly s: string
  readonly target: Target
  /** The partition; null for a table without partitions, and for the stragglers of a partitioned one. */
  readonly leaf: Leaf | null
}

/** Runs the batches of one table or partition. */
export interface BatchRunner {
  /**
   * Runs one batch of a phase. Its effects and its checkpoint commit together, or neither does. Returns null if the
   * fence was shut. Throws what Postgres throws. After a lost connection the outcome is unknown, and only the range's
   * row can tell it.
   */
  run(client: Pick<ClientBase, 'query'>, phase: PhaseName, input: BatchInput, look?: Look): Promise<BatchResult | null>
  /** Whether rows that a batch reported as matching after their change still match when read again. */
  stillMatch(client: ClientBase, keys: readonly Cursor[]): Promise<boolean>
  /** The statement of a batch of rows, for EXPLAIN. */
  statement(input: Pick<BatchInput, 'cursor' | 'upper'>): CompiledSql
  /** The statements that Postgres parses and plans before a run is accepted. */
  statements(): readonly CompiledSql[]
}

/** How a batch of stragglers reads them: a wide look passes by many that are held. */
export interface Look {
  readonly wide: boolean
}
