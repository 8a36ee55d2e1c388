import { setTimeout as sleep } from 'node:timers/promises'
import type { Case } from '../cases.ts'
import type { Backfill } from '../peers/peer.ts'
import { watchCpu } from './cpu.ts'
import type { LoadReport } from './load-contract.ts'
import { LoadProcess } from './load-process.ts'
import { LockWatch } from './lock-watch.ts'
import type { Options } from './options.ts'
import { accountRows } from './schema.ts'
import { ascending, percentile } from './statistics.ts'
import { target } from './target.ts'

/** For plans, caches and the machine code of Node to be there. */
const warmUpSeconds = 3
/** So that waits for the backfill's locks show; the rest of the application works elsewhere. */
const shareOnTarget = 0.25

/** One turn of one case. Times in milliseconds. */
export interface Figures {
  /** How long the backfill ran, or was watched. */
  readonly seconds: number
  /** Committed by the backfill in that time. */
  readonly rows: number
  readonly rowsPerSecond: number
  readonly transactions: number
  readonly errors: number
  readonly p50: number
  readonly p95: number
  readonly p99: number
  readonly max: number
  /** The longest that a foreground session was seen to wait for a lock of the backfill's. */
  readonly longestLockWait: number
  /** Shares of all cores: what the case took with all that belongs to it, and what the rest of the machine did. */
  readonly cpu: number
  readonly cpuOthers: number
}

/** Lets a case run on a fresh database, beside the foreground load, for some seconds or until there is nothing left to do. */
export async function measure({ peer }: Case, databaseUrl: string, options: Options): Promise<Figures> {
  const { rate, connections, rows, seconds } = options
  const undo: (() => Promise<unknown>)[] = []
  try {
    const load = await LoadProcess.start({
      databaseUrl,
      rate,
      connections,
      target: { name: target.table, rows },
      elsewhere: { name: 'accounts', rows: accountRows },
      shareOnTarget,
    })
    undo.push(() => load.kill())
    await sleep(warmUpSeconds * 1000)
    const watch = await LockWatch.start(databaseUrl, peer?.sessions ?? '')
    undo.push(() => watch.stop())
    const backfill = (await peer?.start(databaseUrl)) ?? nothing()
    undo.push(() => backfill.stop())

    load.begin()
    const shares = watchCpu()
    const lasted = await untilDone(backfill, load, seconds)
    const report = load.end()
    const { ours, others } = shares()
    const rowsDone = await backfill.rowsDone()
    // Before the report: those who wait for the backfill's locks do so until it ends.
    await backfill.stop()
    const longestLockWait = await watch.stop()
    return figures({ seconds: lasted, rows: rowsDone, longestLockWait, cpu: ours, cpuOthers: others }, await report)
  } finally {
    for (const step of undo.reverse()) await step().catch(() => {})
  }
}

function nothing(): Backfill {
  return { rowsDone: async () => 0, done: new Promise(() => {}), stop: async () => {} }
}

/** Returns how long it took, in seconds. */
async function untilDone(backfill: Backfill, load: LoadProcess, seconds: number): Promise<number> {
  const began = performance.now()
  const early = new AbortController()
  const time = sleep(seconds * 1000, undefined, { signal: early.signal }).catch(() => {})
  await Promise.race([time, backfill.done, load.failure])
  early.abort()
  return (performance.now() - began) / 1000
}

function figures(
  backfill: Pick<Figures, 'seconds' | 'rows' | 'longestLockWait' | 'cpu' | 'cpuOthers'>,
  { latencies, errors }: LoadReport,
): Figures {
  const sorted = ascending(latencies)
  return {
    ...backfill,
    rowsPerSecond: backfill.rows / backfill.seconds,
    transactions: sorted.length,
    errors,
    p50: percentile(sorted, 0.5),
    p95: percentile(sorted, 0.95),
    p99: percentile(sorted, 0.99),
    max: percentile(sorted, 1),
  }
}
