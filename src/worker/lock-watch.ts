import type { PoolClient } from 'pg'
import { classifyError, lockedPlace } from '../core/fault.ts'
import type { Cursor, Target } from '../core/range/key.ts'
import { lockRow } from '../engine/batch/leave.ts'
import { type LockPatience, setLockTimeout } from '../engine/batch/session.ts'
import { tableSql } from '../engine/batch/table.ts'
import type { Control } from '../store/control.ts'
import { endBackend, findHolder, type Holder } from '../store/lock-holder.ts'
import type { Logger } from '../telemetry/logger.ts'
import { waitSeconds } from '../util/sleep.ts'

/** A statement is taken to wait for a lock after this time, well within `lock_timeout`. Seconds. */
const lookAfterSeconds = 0.02
/** Each observation delays the other sessions that wait for the same row a little. Milliseconds. */
const everyMs = 1000

/** A row that waits for a lock. */
interface Wait {
  readonly key: Cursor
  readonly words: string
}

/** Finds out what a worker's statement waits for, and which session holds it. */
export class LockWatch {
  readonly #control: Control
  readonly #client: PoolClient
  readonly #log: Logger
  #holder: Holder | null = null
  #wait: Wait | null = null
  #lookedAt = Number.NEGATIVE_INFINITY
  #patience: LockPatience = 'usual'

  constructor(control: Control, client: PoolClient, log: Logger) {
    this.#control = control
    this.#client = client
    this.#log = log
  }

  /** Whether the next observation is due. */
  get due(): boolean {
    return performance.now() - this.#lookedAt >= everyMs
  }

  /** The last row that was found to wait, and what for. */
  get wait(): Wait | null {
    return this.#wait
  }

  /** Sets how long the following statements wait for a lock. */
  async setPatience(patience: LockPatience): Promise<void> {
    if (patience !== this.#patience) await setLockTimeout(this.#client, patience)
    this.#patience = patience
  }

  /** Runs a statement on one row, and looks for the holder once if it waits. */
  async during<T>(key: Cursor, work: () => Promise<T>): Promise<T> {
    this.#lookedAt = performance.now()
    this.#holder = null
    const ended = new AbortController()
    const looking = this.#look(ended.signal)
    try {
      return await work()
    } catch (error) {
      ended.abort()
      await looking
      if (classifyError(error) === 'lock-timeout') this.#wait = { key, words: describeWait(error, this.#holder) }
      throw error
    } finally {
      ended.abort()
    }
  }

  /** Tries to lock rows that were found held, until one of them is still held. */
  async probe(target: Target, keys: readonly Cursor[]): Promise<void> {
    await this.setPatience('usual')
    for (const key of keys) {
      try {
        await this.during(key, () => lockRow(this.#client, tableSql(target), key))
      } catch (error) {
        if (classifyError(error) !== 'lock-timeout') throw error
        return
      }
    }
  }

  /**
   * Ends the session of a statement that has not answered in time. The server would go on with it, and keep all its
   * locks.
   */
  async endSession(): Promise<void> {
    if (this.#backend !== null) await endBackend(this.#control, this.#backend)
  }

  /** The driver knows the pid of its backend; its types do not. */
  get #backend(): number | null {
    return (this.#client as unknown as { processID: number | null }).processID
  }

  /** Only people read the holder, so an error here is logged and leaves it unnamed. */
  async #look(ended: AbortSignal): Promise<void> {
    await waitSeconds(lookAfterSeconds, ended)
    const backend = this.#backend
    if (ended.aborted || backend === null) return
    try {
      this.#holder = await findHolder(this.#control, backend)
    } catch (error) {
      this.#log.debug({ err: error }, 'cannot read which session holds the lock')
    }
  }
}

/** `while locking tuple (0,5) in relation "customers"; held by pid 4711 (psql), in a transaction since …` */
function describeWait(error: unknown, holder: Holder | null): string {
  const place = lockedPlace(error) ?? (holder?.relation ? `for a lock on ${holder.relation}` : null)
  const held = holder ? `held by ${describeHolder(holder)}` : null
  return (
    [place, held].filter((part) => part !== null).join('; ') ||
    'for a lock whose holder was gone before it could be read'
  )
}

function describeHolder({ pid, name, since, prepared }: Holder): string {
  if (pid === 0) return `the prepared transaction ${JSON.stringify(prepared ?? '')}`
  return `pid ${pid}${name ? ` (${name})` : ''}${since ? `, in a transaction since ${since.toISOString()}` : ''}`
}
