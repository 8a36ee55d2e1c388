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
/** What is done sooner than this is not worth a ticket. */
const minSeconds = 1
/** What a part is worth where nothing is known of the rest; and what may be read to find its end. */
const usualSeconds = 10
const maxRowsRead = 500_000
/** Where to cut is found by so many statements at the most, and each may take so long, during which no batch renews the lease. */
const statementsOfACut = 5
const statementSeconds = 2

/** How far a lease has come. */
export interface LeaseProgress {
  readonly cursor: Cursor | null
  readonly upper: Cursor | null
  /** Rows passed over under this lease. */
  readonly scanned: number
  readonly parallelism: number
  readonly batchSize: number
  /** It is so small because larger windows did not pass. */
  readonly turnedAway: boolean
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
  async split(standing: LeaseProgress): Promise<Cursor | null> {
    const { cursor, upper, parallelism } = standing
    const now = performance.now()
    // Stragglers are one range, and found in the order in which they are due.
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

  /** None where they cannot be found: a range that is not split is slower, and right. */
  async #keysFor(standing: LeaseProgress, parts: number): Promise<Cursor[]> {
    try {
      const { control, timings } = this.#deps
      const seconds = timings.leaseSeconds + statementsOfACut * statementSeconds
      if (!(await renewLease(control, this.#lease, seconds, standing))) return []
      return await withTimeout(this.#client, statementSeconds, () => this.#cut(standing, parts))
    } catch (error) {
      if (recoveryFrom(error) === 'hold') throw error
      this.#log.warn(
        { err: error },
        'where the range could be split cannot be found out; this slice goes on with all of it',
      )
      this.#lookedAt = Number.POSITIVE_INFINITY
      return []
    }
  }

  /** Into parts of about the same size; where nothing tells how large they are, the next rows into such of some seconds each. */
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
