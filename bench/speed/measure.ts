import { setTimeout as sleep } from 'node:timers/promises'
import { cpuSecondsOf, watchCpu } from '../support/cpu.ts'
import type { Afterwards } from './backfill.ts'
import type { Case, Surroundings } from './cases.ts'
import { Observer, type Sights, type Traces } from './observer.ts'

/** One turn of one case. Null is what cannot be told. */
export interface Figures extends Afterwards {
  /** How long it wrote. */
  readonly seconds: number
  /** Committed in that time. */
  readonly rows: number
  /** Whether there was nothing left to write; otherwise its time was up. */
  readonly done: boolean
  readonly rowsPerSecond: number
  readonly walBytesPerRow: number | null
  /** The longest that a session was seen to hold locks on rows. Milliseconds. */
  readonly longestLock: number
  /** The table with its indexes and its TOAST: how many times what it was before. */
  readonly growth: number
  /** CPU of the client process, or of the service, for a million rows. */
  readonly clientSecondsPerMillion: number | null
  /** Shares of all cores: what the case took with all that belongs to it, and what the rest of the machine did. */
  readonly cpu: number | null
  readonly cpuOthers: number | null
}

const never: Afterwards = { steadyRowsPerSecond: null, checkSeconds: null }

/** Lets a case write on a fresh database until there is nothing left to do, or its time is up. */
export async function measure(
  one: Case,
  surroundings: Surroundings,
  tableRows: number,
  seconds: number,
): Promise<Figures> {
  const undo: (() => Promise<unknown>)[] = []
  try {
    const observer = await Observer.open(surroundings.databaseUrl, one.sessions)
    undo.push(() => observer.close())
    const backfill = await one.start(surroundings)
    undo.push(() => backfill.kill())

    await observer.begin()
    const cpuBefore = cpuSecondsOf(backfill.pid)
    const shares = watchCpu()
    const took = await within(seconds, [backfill.write(), backfill.failure])
    const clientSeconds = cpuSecondsOf(backfill.pid) - cpuBefore
    const { ours, others } = shares()
    const sights = await observer.end()
    const afterwards = took === null ? never : await Promise.race([backfill.afterwards(), backfill.failure])
    await backfill.kill()
    const traces = await observer.traces()
    if (took !== null && traces.rows !== tableRows)
      throw new Error(`${one.name} is done, and ${tableRows - traces.rows} rows are not`)
    return {
      ...figures(took ?? seconds, sights, traces, clientSeconds),
      ...afterwards,
      done: took !== null,
      cpu: known(ours),
      cpuOthers: known(others),
    }
  } finally {
    for (const step of undo.reverse()) await step().catch(() => {})
  }
}

/** Null when the time was up first. */
async function within(seconds: number, results: readonly Promise<number>[]): Promise<number | null> {
  // A backfill that is killed because its time is up ends with an error that is not one.
  for (const result of results) result.catch(() => {})
  const early = new AbortController()
  const time = sleep(seconds * 1000, null, { signal: early.signal })
  time.catch(() => {})
  try {
    return await Promise.race([...results, time])
  } finally {
    early.abort()
  }
}

function figures(seconds: number, { walBytes, longestLock }: Sights, traces: Traces, clientSeconds: number) {
  const { rows, growth } = traces
  return {
    seconds,
    rows,
    rowsPerSecond: rows / seconds,
    walBytesPerRow: known(walBytes / rows),
    longestLock,
    growth,
    clientSecondsPerMillion: known((clientSeconds * 1e6) / rows),
  }
}

/** Without a row there is nothing to divide by; without /proc nobody knows. */
function known(value: number): number | null {
  return Number.isFinite(value) ? value : null
}
