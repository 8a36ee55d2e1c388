import type { PoolClient } from 'pg'
import { recoveryFrom } from '../core/fault.ts'
import type { Cursor } from '../core/range/key.ts'
import { phases } from '../core/range/phase.ts'
import { withTimeout } from '../engine/batch/session.ts'
import { tableSql } from '../engine/batch/table.ts'
import { findSplitKeys, findSplitPages, keysAhead } from '../engine/ranges/boundaries.ts'
import { type Lease, renewLease } from '../store/leases.ts'
import { countOpenRanges } from '../store/ranges.ts'
import { splitLease } from '../store/rescue.ts'
import type { Run } from '../store/run.ts'
import type { Logger } from '../telemetry/logger.ts'
import type { WorkerDeps } from './deps.ts'
import { advance } from './dispatch.ts'

const everyMs = 250
/** A rest that takes less time than this is not worth a ticket. */
const minSeconds = 1
/** Size of a new range if the size of the rest is unknown, and the most rows that are read to find its end. */
const usualSeconds = 10
const maxRowsRead = 500_000
/**
 * Split keys are found with at most this many statements, each within this time. No batch renews the lease meanwhile.
 */
const statementsOfACut = 5
const statementSeconds = 2

/** Progress of a lease. */
export interface LeaseProgress {
  readonly cursor: Cursor | null
  readonly upper: Cursor | null
  /** Rows passed over under this lease. */
  readonly scanned: number
  readonly parallelism: number
  readonly batchSize: number
  /** Whether the batch size is this small because larger windows failed. */
  readonly turnedAway: boolean
}

/**
 * Keeps all workers of a run busy to its end. As soon as a run has fewer open ranges than workers allowed, each worker
 * with much left to do gives away a part of its range. So neither the first plan of ranges nor the distribution of
 * matching rows matters.
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

  /** Returns the upper bound of the lease from now on: the old one, or a lower one. */
  async split(standing: LeaseProgress): Promise<Cursor | null> {
    const { cursor, upper, parallelism } = standing
    const now = performance.now()
    // Stragglers are one range, in the order in which they are due.
    if (phases[this.#lease.phase].over === 'stragglers' || parallelism === 1 || now - this.#lookedAt < everyMs)
      return upper
    this.#lookedAt = now
    const missing = parallelism - (await countOpenRanges(this.#deps.control, this.#lease))
    if (missing <= 0) return upper
    const keys = await this.#keysFor(standing, missing + 1)
    if (keys.length === 0) return upper
    const { control } = this.#deps
    if (!(await splitLease(control, { ...this.#lease, cursor, upper }, keys, standing.batchSize))) return upper
    this.#log.info({ keys }, 'range split: other workers would be idle')
    await advance(this.#deps, this.#run.id)
    return keys[0] as Cursor
  }

  /** Finds the split keys. None if that fails: a range that is not split is slower, and still right. */
  async #keysFor(standing: LeaseProgress, parts: number): Promise<Cursor[]> {
    try {
      const { control, timings } = this.#deps
      const seconds = timings.leaseSeconds + statementsOfACut * statementSeconds
      if (!(await renewLease(control, this.#lease, seconds, standing))) return []
      return await withTimeout(this.#client, statementSeconds, () => this.#cut(standing, parts))
    } catch (error) {
      if (recoveryFrom(error) === 'hold') throw error
      this.#log.warn({ err: error }, 'cannot find keys to split the range at; this slice goes on with all of it')
      this.#lookedAt = Number.POSITIVE_INFINITY
      return []
    }
  }

  /**
   * Splits into parts of similar size. If no statistics tell their size, takes the next rows in parts of some seconds
   * each.
   */
  async #cut({ cursor, upper, scanned }: LeaseProgress, parts: number): Promise<Cursor[]> {
    const table = tableSql(this.#run.target, this.#lease.leaf)
    if (phases[this.#lease.phase].over === 'pages')
      return findSplitPages(this.#client, table, { lower: cursor, upper }, parts)
    const rowsPerSecond = (scanned * 1000) / (performance.now() - this.#beganAt)
    const rows = (seconds: number) => Math.max(1, Math.ceil(rowsPerSecond * seconds))
    const [near] = await keysAhead(this.#client, table, { lower: cursor, upper }, rows(minSeconds))
    if (!near) return []
    const rest = { lower: near, upper }
    const keys = await findSplitKeys(this.#client, table, rest, parts)
    if (keys.length > 0) return keys
    const each = Math.min(rows(usualSeconds), Math.ceil(maxRowsRead / parts))
    return [near, ...(await keysAhead(this.#client, table, rest, each, parts - 1))]
  }
}
