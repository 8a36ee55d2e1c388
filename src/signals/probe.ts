import type { Pool } from 'pg'
import { z } from 'zod'
import type { Reading } from '../core/throttle/signal.ts'
import { type Ask, onConnection } from '../postgres/ask.ts'
import { statement } from '../postgres/statement.ts'
import { Baseline } from './baseline.ts'
import { unknown } from './messages.ts'

export const probeIntervalMs = 250

/** How often our own event loop is felt, and how long it may stand still before a look says more of us than of Postgres. */
const feelMs = 2
const allowedMs = 5

/** How long a commit may take before it is cancelled, and how long before nothing is expected of its connection any more. */
const patienceMs = 5000
const limitMs = 8000

/**
 * A transaction that writes WAL and waits for its commit to be flushed as everybody's does, and touches no table: nothing
 * to bloat, nothing to vacuum.
 */
const commitTinySql = statement(
  'probe',
  { position: z.string() },
  "SELECT pg_catalog.pg_logical_emit_message(true, 'evenkeel', '') AS position",
)

/** Ends the waiting of a commit; what it wrote stays. */
const cancelSql = statement(
  'cancel',
  { cancelled: z.boolean() },
  'SELECT pg_catalog.pg_cancel_backend($1) AS cancelled',
)

/** How many times as long as when it is quiet a tiny transaction takes. `elsewhere` asks over another connection. */
export function probeReader(pool: Pool, elsewhere: Ask): () => Promise<Reading[]> {
  const baseline = new Baseline()
  const look = async (ask: Ask, pid: number) => {
    // A commit may wait for a synchronous standby that is gone, which no timeout of the server's ends. With nothing but the
    // connection dropped its backend would go on waiting, and the next one beside it, until there is none left for anybody.
    const overdue = setTimeout(() => elsewhere(cancelSql, [pid]).catch(() => undefined), patienceMs)
    try {
      return await timed(() => ask(commitTinySql, [], limitMs))
    } finally {
      clearTimeout(overdue)
    }
  }
  return async () => {
    // Without the connecting, where there was none.
    const { ms, stoodStill } = await onConnection(pool, look)
    const now = performance.now()
    // One that took long stands for those that were left out meanwhile: else they would be outvoted by the quick ones.
    if (!stoodStill) baseline.observe(now, ms, Math.max(1, Math.round(ms / probeIntervalMs)))
    const [latency, quiet] = [baseline.latency(now), baseline.quiet(now)]
    if (latency === null) {
      return [unknown('commit-latency', 'this process has too much to do to time anything: give it more CPU')]
    }
    if (quiet === null)
      return [unknown('commit-latency', 'a tiny transaction has not been timed for a second yet: wait a moment')]
    const detail = `a tiny transaction: ${latency.toFixed(1)} ms, quiet ${quiet.toFixed(1)} ms`
    return [{ signal: 'commit-latency', value: latency / quiet, detail }]
  }
}

/** How long something takes, and whether our own event loop stood still in it. */
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
    // The answer is often handled before a timer that is overdue.
    feel()
  } finally {
    clearInterval(timer)
  }
  const ms = felt - began
  return { ms, stoodStill: longest > Math.max(feelMs + allowedMs, ms / 4) }
}
