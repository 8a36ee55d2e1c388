import type { PoolClient } from 'pg'
import { describeFault, faultSqlstate, recoveryFrom } from '../core/fault.ts'
import { Bisection } from '../core/range/bisection.ts'
import type { Cursor } from '../core/range/key.ts'
import { type BatchCost, fitCost, type TimedBatch, type TimedPair } from '../core/throttle/batch-cost.ts'
import { type BatchInput, type BatchResult, runBatch } from '../engine/batch/batch.ts'
import { firstKey, setAsideSql } from '../engine/batch/quarantine.ts'
import { rolledBack, rolledBackIfFailed } from '../engine/batch/savepoint.ts'
import { tableSql } from '../engine/batch/table.ts'
import type { BatchRunner, ResolvedJob } from '../engine/kinds/kind.ts'
import { type ExplainedBatch, explainBatch } from '../engine/rehearse.ts'
import type { Lease } from '../store/leases.ts'
import type { Run } from '../store/run.ts'

/** A row that fails by itself, with the error of Postgres. */
export interface FailingRow {
  readonly key: Cursor
  readonly sqlstate: string
  readonly message: string
}

/** The results of the batches in one window. */
export interface RehearsedWindow {
  readonly batches: number
  readonly scanned: number
  readonly done: number
  /** Rows held by other sessions. */
  readonly left: number
  readonly seconds: number
  readonly failing: readonly FailingRow[]
  /** The key of a row that still matches after it was changed. */
  readonly endless: Cursor | null
  /** Why the window was not finished; null if it was. */
  readonly stopped: string | null
}

/** Limits for the work in a window. */
export interface Budget {
  readonly limit: number
  readonly rows: number
  /** Stop once more rows than this fail by themselves. */
  readonly maxFailing: number
  /** On the clock of `performance.now()`. */
  readonly endsAt: number
}

/** Executes batches of a run in a transaction that is rolled back, with the statements that a worker uses. */
export class Rehearsal {
  readonly #client: PoolClient
  readonly #s: string
  readonly #run: Run
  readonly #job: ResolvedJob

  constructor(client: PoolClient, s: string, run: Run, job: ResolvedJob) {
    this.#client = client
    this.#s = s
    this.#run = run
    this.#job = job
  }

  /** Works through a window as a worker does: batch after batch, setting aside rows that fail by themselves. */
  async work(lease: Lease, { limit: most, rows, maxFailing, endsAt }: Budget): Promise<RehearsedWindow> {
    const runner = this.#runner(lease)
    const bisection = new Bisection()
    const failing: FailingRow[] = []
    const sums = { batches: 0, scanned: 0, done: 0, left: 0, seconds: 0 }
    let endless: Cursor | null = null
    let stopped: string | null = null
    let { cursor } = lease
    let wanted = most
    while (sums.scanned < rows && endless === null) {
      if (performance.now() > endsAt) stopped = 'The dry run ran out of time before it had finished all of its windows.'
      if (stopped !== null || failing.length > maxFailing) break
      const limit = bisection.limit(wanted)
      const input = this.#input(lease, cursor, limit)
      const bounds = { cursor: cursor !== null, upper: lease.upper !== null }
      const suspect =
        limit === 1 ? await firstKey(this.#client, tableSql(this.#run.target, lease.leaf), cursor, lease.upper) : null
      let result: BatchResult
      try {
        result = await this.#batch(runner, input)
        bisection.passed(result.scanned, wanted)
        sums.batches += 1
        sums.seconds += result.seconds
        endless = await this.#stillMatching(runner, result)
      } catch (error) {
        const answer = recoveryFrom(error)
        if (answer === 'halve' && limit > 1) {
          wanted = Math.floor(limit / 2)
          continue
        }
        if (answer === 'halve') {
          stopped = `Could not change the row with key ${JSON.stringify(suspect)}: ${describeFault(error)}. A run would retry it until it succeeds.`
          break
        }
        if (answer !== 'bisect') throw error
        if (suspect === null) {
          // The fault is not in a row: for instance a statement trigger.
          if (limit === 1) throw error
          bisection.failed(limit)
          continue
        }
        const fault = { key: suspect, sqlstate: String(faultSqlstate(error)), message: describeFault(error) }
        failing.push(fault)
        const values = [fault.key, fault.sqlstate, fault.message]
        const text = setAsideSql(this.#s, tableSql(this.#run.target, lease.leaf), bounds, 'running')
        result = unfenced(await runBatch(this.#client, { text, values }, input))
        bisection.passedOver()
      }
      cursor = result.cursor
      sums.scanned += result.scanned
      sums.done += result.done
      sums.left += result.left
      if (result.ended) break
    }
    return { ...sums, failing, endless, stopped }
  }

  /**
   * Executes one batch under EXPLAIN and rolls it back, with half the rows each time some fail. Null if a single row
   * fails.
   */
  async explain(lease: Lease, limit: number): Promise<ExplainedBatch | null> {
    const { place } = tableSql(this.#run.target, lease.leaf)
    const statement = this.#runner(lease).statement(lease)
    for (let rows = limit; rows >= 1; rows = Math.floor(rows / 2)) {
      try {
        return await rolledBack(this.#client, () =>
          explainBatch(this.#client, place, statement, this.#input(lease, lease.cursor, rows)),
        )
      } catch (error) {
        if (!['bisect', 'halve'].includes(recoveryFrom(error))) throw error
      }
    }
    return null
  }

  /**
   * Measures the cost of a batch from batches of one row and larger ones, all rolled back. `again` is the same window a
   * second time, with no matching rows left; null for a job without a predicate. Also returns how many rows, at most
   * `most`, make a short batch.
   */
  async time(lease: Lease, again: Lease | null, most: number): Promise<{ limit: number; cost: BatchCost | null }> {
    let limit = 1
    try {
      return await rolledBack(this.#client, async () => {
        const timer = this.#timer(lease)
        const small = await timer(1, 3)
        let large = await timer(Math.min(most, 30, Math.max(3, Math.floor(maxBatchSeconds / 2 / small.seconds))), 2)
        for (;;) {
          limit = shortBatch(small, large, most)
          if (limit <= 1.5 * large.scanned) break
          const larger = await timer(limit, 1)
          // The window has ended.
          if (larger.scanned <= large.scanned) break
          large = larger
        }
        const pair = { small, large }
        return { limit, cost: fitCost(pair, again && (await this.#passed(again, pair.large.scanned))) }
      })
    } catch (error) {
      const answer = recoveryFrom(error)
      if (answer !== 'bisect' && answer !== 'halve') throw error
      return { limit: answer === 'bisect' ? most : limit, cost: null }
    }
  }

  async #passed(lease: Lease, rows: number): Promise<TimedPair | null> {
    const small = await this.#timer(lease)(1, 1)
    if (small.scanned === 0) return null
    const large = await this.#timer(lease, small.cursor)(rows, 1)
    // There is no difference to measure if rows match for ever.
    return small.changed + large.changed === 0 ? { small, large } : null
  }

  /** Runs batches in sequence, each on untouched rows: a row that was rolled back looks held. */
  #timer(lease: Lease, from: Cursor | null = lease.cursor) {
    let cursor = from
    let ended = false
    return async (limit: number, tries: number): Promise<TimedBatch & { cursor: Cursor | null }> => {
      const timed: Array<TimedBatch & { cursor: Cursor | null }> = []
      // The end of the window shuts the fence. A further batch would be rolled back, and all measurements with it.
      for (let attempt = 0; attempt < tries && !ended; attempt += 1) {
        const result = await this.#runner(lease).run(this.#client, 'keys', this.#input(lease, cursor, limit))
        if (!result) break
        cursor = result.cursor
        ended = result.ended
        timed.push({ scanned: result.scanned, changed: result.done, seconds: result.seconds, cursor })
        if (result.seconds > longTrySeconds) break
      }
      // The shortest of those that changed the most rows: the rest is noise of the machine.
      timed.sort((a, b) => b.changed - a.changed || a.seconds - b.seconds)
      return timed[0] ?? { scanned: 0, changed: 0, seconds: 0, cursor }
    }
  }

  /** Parses and plans the statements without passing a row, as happens once in a session. */
  async prepare(lease: Lease): Promise<void> {
    const input = { ...this.#input(lease, lease.cursor, 1), epoch: '-1' }
    // On a table with statement triggers, the shut fence ends the statement with an error.
    for (const cursor of [[], lease.cursor]) {
      const statement = this.#runner(lease).statement({ cursor, upper: lease.upper })
      await rolledBack(this.#client, () => runBatch(this.#client, statement, input))
    }
  }

  #batch(runner: BatchRunner, input: BatchInput): Promise<BatchResult> {
    return rolledBackIfFailed(this.#client, async () => unfenced(await runner.run(this.#client, 'keys', input)))
  }

  async #stillMatching(runner: BatchRunner, { still }: BatchResult): Promise<Cursor | null> {
    return still[0] && (await runner.stillMatch(this.#client, still)) ? still[0] : null
  }

  readonly #runners = new Map<string, BatchRunner>()

  #runner({ leaf }: Lease): BatchRunner {
    const place = leaf?.oid ?? ''
    const runner = this.#runners.get(place) ?? this.#job.open({ s: this.#s, target: this.#run.target, leaf })
    this.#runners.set(place, runner)
    return runner
  }

  #input({ runId, ordinal, epoch, upper }: Lease, cursor: Cursor | null, limit: number): BatchInput {
    return { runId, ordinal, epoch, cursor, upper, limit, leaseSeconds: 60, throttledMs: 0 }
  }
}

const maxBatchSeconds = 2
/** A measurement this long is not repeated: noise of the machine is small beside it. */
const longTrySeconds = 0.5

/**
 * The number of rows for a larger batch that stays short, from two timed batches. Each step improves the next estimate.
 */
function shortBatch(small: TimedBatch, large: TimedBatch, most: number): number {
  const each = (large.seconds - small.seconds) / Math.max(1, large.scanned - small.scanned)
  const left = Math.max(maxBatchSeconds, 1.5 * small.seconds) - small.seconds
  const rows = each > 0 ? Math.floor(left / each) : most
  return Math.max(1, Math.min(most, 8 * large.scanned, Math.max(large.scanned, rows)))
}

/** Only this transaction knows the run, so its fence stays open for as long as the transaction lasts. */
function unfenced(result: BatchResult | null): BatchResult {
  if (!result) throw new Error('the dry run was fenced out of its own range')
  return result
}
