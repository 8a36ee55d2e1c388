import type { PoolClient } from 'pg'
import { Bisection } from '../core/bisection.ts'
import { Problem } from '../core/errors.ts'
import { describeFault, sqlstateOf } from '../core/fault.ts'
import type { Cursor } from '../core/key.ts'
import { type BatchInput, type BatchResult, runBatch } from '../engine/batch.ts'
import { firstKey, setAsideSql, setStragglerAsideSql } from '../engine/quarantine.ts'
import { tableSql } from '../engine/table.ts'
import type { Control } from '../store/control.ts'
import type { Lease } from '../store/leases.ts'
import { hasRoomInQuarantine } from '../store/quarantine.ts'
import type { Run } from '../store/runs.ts'
import { firstDueStraggler } from '../store/stragglers.ts'

/** What came of a window that failed on its data: smaller ones, the row set aside as committed, or a fence that was shut. */
export type Isolated = 'narrowed' | BatchResult | null

/** Finds the rows of a lease that fail by themselves and sets them aside, so that the rest of the range goes on. */
export class Isolation {
  readonly #control: Control
  readonly #lease: Lease
  readonly #client: PoolClient
  readonly #bisection = new Bisection()
  /** The one row that the next window is. */
  #suspect: Cursor | null = null

  constructor(control: Control, lease: Lease, client: PoolClient) {
    this.#control = control
    this.#lease = lease
    this.#client = client
  }

  /** Whether the size of windows says nothing of what a batch costs. */
  get narrowed(): boolean {
    return this.#bisection.narrowed
  }

  /** Rows for the next window, where pace would have it so large. */
  limit(wanted: number): number {
    return this.#bisection.limit(wanted)
  }

  /**
   * To be called before each window: which row is tried alone has to be known before it fails. Also where no larger window has
   * failed under this lease: a row that takes longer than a slice to fail is met once in each.
   */
  async prepare(target: Run['target'], input: Pick<BatchInput, 'limit' | 'cursor' | 'upper'>): Promise<void> {
    this.#suspect = input.limit === 1 ? await this.#next(target, input) : null
  }

  /** The row that a window of one would be; null where there is none. */
  #next(target: Run['target'], { cursor, upper }: Pick<BatchInput, 'cursor' | 'upper'>): Promise<Cursor | null> {
    return this.#lease.kind === 'stragglers'
      ? firstDueStraggler(this.#control, this.#lease.runId)
      : firstKey(this.#client, tableSql(target, this.#lease.leaf), cursor, upper)
  }

  passed(scanned: number, wanted: number): void {
    this.#bisection.passed(scanned, wanted)
  }

  /**
   * A window failed on its data. Throws a Problem when the row that fails by itself is one too many for the quarantine, the
   * error itself when it fails without any row, and whatever Postgres throws.
   */
  async failed(error: unknown, input: BatchInput, run: Run): Promise<Isolated> {
    if (this.#suspect === null) {
      // A trigger for each statement, for instance: there is nothing that could be set aside, and no window that would pass.
      if (input.limit === 1 && (await this.#next(run.target, input)) === null) throw error
      this.#bisection.failed(input.limit)
      return 'narrowed'
    }
    await this.#refuseOneTooMany(this.#suspect, error, run)
    const values = [this.#suspect, sqlstateOf(error), describeFault(error)]
    const result = await runBatch(this.#client, { text: this.#setAsideSql(input, run), values }, input)
    if (result?.scanned === 0) {
      // Another row has come to stand in its place.
      this.#bisection.passed(0, input.limit)
      return 'narrowed'
    }
    this.#bisection.setAside()
    return result
  }

  #setAsideSql({ cursor, upper }: BatchInput, { target }: Run): string {
    const { s } = this.#control
    if (this.#lease.kind === 'stragglers') return setStragglerAsideSql(s, tableSql(target))
    const bounds = { cursor: cursor !== null, upper: upper !== null }
    const status = this.#lease.kind === 'keys' ? 'running' : 'verifying'
    return setAsideSql(s, tableSql(target, this.#lease.leaf), bounds, status)
  }

  async #refuseOneTooMany(key: Cursor, error: unknown, { id, options }: Run): Promise<void> {
    const most = options.maxQuarantined
    if (await hasRoomInQuarantine(this.#control, id, key, most)) return
    const sqlstate = sqlstateOf(error)
    const row = `The row with key ${JSON.stringify(key)} fails by itself: ${describeFault(error)} [${sqlstate}]`
    throw new Problem(
      'conflict',
      most === 0
        ? `${row}; and maxQuarantined is 0. Mend the data or the job, then retry; or PATCH the run with a higher maxQuarantined, for such rows to be set aside, then retry.`
        : `${row}; and ${most} others are in quarantine already, as many as maxQuarantined allows. Mend the data or the job, then POST /runs/${id}/quarantine/retry, which goes on with those rows too; or PATCH the run with a higher maxQuarantined, then retry.`,
      { key, sqlstate },
    )
  }
}
