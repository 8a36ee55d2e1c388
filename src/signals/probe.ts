import type { Pool } from 'pg'
import { z } from 'zod'
import type { Reading } from '../core/throttle/signal.ts'
import { type Ask, onConnection } from '../postgres/ask.ts'
import { statement } from '../postgres/statement.ts'
import { Baseline } from './baseline.ts'
import { unknown } from './messages.ts'

export const probeIntervalMs = 250

/**
 * How often the event loop of this process is checked, and how long it may stall before a sample says more about the
 * process than about Postgres.
 */
const feelMs = 2
const allowedMs = 5

/** How long a commit may take before it is cancelled, and how long before its connection is given up. */
const patienceMs = 5000
const limitMs = 8000

/**
 * A transaction that writes WAL and waits for its commit as any other does. It touches no table, so there is no bloat
 * and nothing to vacuum.
 */
const commitTinySql = statement(
  'probe',
  { position: z.string() },
  "SELECT pg_catalog.pg_logical_emit_message(true, 'evenkeel', '') AS position",
)

/** Ends the wait of a commit. What it wrote stays. */
const cancelSql = statement(
  'cancel',
  { cancelled: z.boolean() },
  'SELECT pg_catalog.pg_cancel_backend($1) AS cancelled',
)

/** Time of a tiny transaction as a multiple of its quiet time. `elsewhere` uses another connection. */
export function probeReader(pool: Pool, elsewhere: Ask): () => Promise<Reading[]> {
  const baseline = new Baseline()
  const look = async (ask: Ask, pid: number) => {
    // A commit may wait for a synchronous standby that is gone, and no timeout of the server ends that wait. If only
    // the connection were dropped, its backend would go on waiting, and so would each one after it, until no connection
    // is left.
    const overdue = setTimeout(() => elsewhere(cancelSql, [pid]).catch(() => undefined), patienceMs)
    try {
      return await timed(() => ask(commitTinySql, [], limitMs))
    } finally {
      clearTimeout(overdue)
    }
  }
  return async () => {
    // Excludes the time for connecting, if that was needed.
    const { ms, stoodStill } = await onConnection(pool, look)
    const now = performance.now()
    // A slow transaction stands for those that were skipped meanwhile. Without the weight quick ones would outvote it.
    if (!stoodStill) baseline.observe(now, ms, Math.max(1, Math.round(ms / probeIntervalMs)))
    const [latency, quiet] = [baseline.latency(now), baseline.quiet(now)]
    if (latency === null) {
      return [unknown('commit-latency', 'this process is too busy to measure times: give it more CPU')]
    }
    if (quiet === null)
      return [unknown('commit-latency', 'tiny transactions have not been measured for a second yet: wait a moment')]
    const detail = `a tiny transaction: ${latency.toFixed(1)} ms, quiet ${quiet.toFixed(1)} ms`
    return [{ signal: 'commit-latency', value: latency / quiet, detail }]
  }
}

/** Time of `work`, and whether the event loop of this process stalled in it. */
async function timed(work: () => Promise<unknown>): Promise<{ ms: number; stoodStill: boolean }> {
  const began = performance.now()
  let felt = began
  let longest = 0
  const feel = () => {
    const now = performance.now()
    longest = Math.max(longest, now - felt)
    felt = now
  }
  const timer = setInterval(feel, feelMs)
  try {
    await work()
    // The answer is often handled before an overdue timer.
    feel()
  } finally {
    clearInterval(timer)
  }
  const ms = felt - began
  return { ms, stoodStill: longest > Math.max(feelMs + allowedMs, ms / 4) }
}
