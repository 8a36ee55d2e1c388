import type { PoolClient } from 'pg'
import type { Cursor } from '../core/key.ts'
import { cutSlice, keyAhead } from '../engine/cut.ts'
import { tableSql } from '../engine/table.ts'
import { splitLease } from '../store/handover.ts'
import type { Lease } from '../store/leases.ts'
import { countOpenRanges } from '../store/ranges.ts'
import type { Run } from '../store/runs.ts'
import type { Logger } from '../telemetry/logger.ts'
import { advance } from './advance.ts'
import type { WorkerDeps } from './deps.ts'

const everyMs = 250
/** What is done sooner than this is not worth a ticket. */
const leastSeconds = 1

/** How far a lease has come. */
export interface Standing {
  readonly cursor: Cursor | null
  readonly upper: Cursor | null
  /** Rows passed over under this lease. */
  readonly scanned: number
  readonly parallelism: number
  readonly batchSize: number
}

/**
 * Keeps a run's workers busy to its end: as soon as there are fewer ranges to do than workers may have, whoever still has
 * much to do leaves them a part of it. So it does not matter how well the ranges were planned, or how much of the table
 * their predicate matches where.
 */
export class RangeSplitter {
  readonly #deps: WorkerDeps
  readonly #run: Run
  readonly #lease: Lease
  readonly #client: PoolClient
  readonly #log: Logger
  readonly #beganAt = performance.now()
  #lookedAt = performance.now()

  constructor(deps: WorkerDeps, run: Run, lease: Lease, client: PoolClient, log: Logger) {
    this.#deps = deps
    this.#run = run
    this.#lease = lease
    this.#client = client
    this.#log = log
  }

  /** The lease's upper bound from now on: the one it had, or less. */
  async split(standing: Standing): Promise<Cursor | null> {
    const { cursor, upper, parallelism } = standing
    const now = performance.now()
    // Stragglers are one range, and found in the order in which they are due.
    if (this.#lease.kind === 'stragglers' || parallelism === 1 || now - this.#lookedAt < everyMs) return upper
    this.#lookedAt = now
    const missing = parallelism - (await countOpenRanges(this.#deps.control, this.#lease))
    if (missing <= 0) return upper
    const keys = await this.#cut(standing, missing + 1)
    if (keys.length === 0) return upper
    const { control } = this.#deps
    if (!(await splitLease(control, { ...this.#lease, cursor, upper }, keys, standing.batchSize))) return upper
    this.#log.info({ keys }, 'range split: other workers would be idle')
    await advance(this.#deps, this.#run.id)
    return keys[0] as Cursor
  }

  /** Into parts of about the same size; where nothing tells how large they are, after the next second's rows. */
  async #cut({ cursor, upper, scanned }: Standing, parts: number): Promise<Cursor[]> {
    const table = tableSql(this.#run.target, this.#lease.leaf)
    const rowsPerSecond = (scanned * 1000) / (performance.now() - this.#beganAt)
    const near = await keyAhead(this.#client, table, { lower: cursor, upper }, Math.ceil(rowsPerSecond * leastSeconds))
    if (!near) return []
    const tableRows = this.#run.target.estimatedRows
    const keys = await cutSlice(this.#client, table, { lower: near, upper }, { parts, tableRows })
    return keys.length > 0 ? keys : [near]
  }
}
