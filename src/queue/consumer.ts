import { setTimeout as sleep } from 'node:timers/promises'
import { Worker } from 'bullmq'
import { guardedPostgresBackend } from './bullmq-postgres.ts'
import {
  closeWithin,
  postgres,
  prefixed,
  probeName,
  queueName,
  redis,
  type TicketQueueOptions,
  within,
} from './connection.ts'
import { isIncomplete, repairQueue } from './schema.ts'
import type { Ticket } from './ticket.ts'

export interface TicketConsumer {
  /** Takes no more tickets. */
  stop(): void
  /** Closes the connection, in bounded time. Call it when no ticket is being worked on. */
  close(): Promise<void>
}

const reopenAfterMs = 1000
const maxErrorsPerSecond = 20

/** The consuming side. Passes up to `slots` tickets at a time to `work`, which must not throw. */
export function consumeTickets(
  { location, instance, onError, onMoved }: TicketQueueOptions,
  slots: number,
  work: (ticket: Pick<Ticket, 'id' | 'runId' | 'ordinal'>) => Promise<void>,
): TicketConsumer {
  const options = {
    ...prefixed(instance),
    concurrency: slots,
    autorun: false,
    // BullMQ also redelivers the ticket of a worker that died. Its lease shows that it is an old one.
    maxStalledCount: 1_000_000,
  }
  const process = async (job: { name: string; id?: string | undefined; data: unknown }) => {
    if (job.name === probeName) return
    const ticket = { id: job.id, ...(job.data as object | null) }
    if (isTicket(ticket)) await work({ id: ticket.id, runId: ticket.runId, ordinal: ticket.ordinal })
    else onError(new Error('dropped an entry of the queue that is not a ticket'))
  }
  const create = (): Worker =>
    (location.kind === 'redis'
      ? new Worker(queueName, process, { ...options, connection: redis(location.url, { maxRetriesPerRequest: null }) })
      : new Worker(
          queueName,
          process,
          { ...options, connection: postgres(location, 2) },
          guardedPostgresBackend,
        )) as Worker

  const stopping = new AbortController()
  let worker: Worker | null = null
  let giveUp: () => void = () => undefined
  const deafen = location.kind === 'postgres' ? onMoved?.(() => giveUp()) : undefined

  /**
   * Runs one BullMQ worker after another. Each runs until it fails so fast that it would do nothing else, the last
   * until the stop.
   */
  async function keepRunning(): Promise<void> {
    while (!stopping.signal.aborted) {
      const current = create()
      worker = current
      const flood = new RetryLimiter()
      let incomplete = false
      const givenUp = new Promise<void>((resolve) => {
        giveUp = resolve
      })
      current.on('error', (error) => {
        if (isIncomplete(error)) {
          incomplete = true
          giveUp()
        }
        // Some errors make BullMQ retry without a pause. Timers of the process would then never fire.
        if (flood.rises()) void current.close(true)
        if (!flood.high) onError(error)
      })
      try {
        await current.waitUntilReady()
        // A worker whose schema is incomplete never ends by itself.
        if (!stopping.signal.aborted) await Promise.race([current.run(), givenUp])
      } catch (error) {
        onError(error as Error)
      }
      if (stopping.signal.aborted) return
      await closeWithin(current)
      if (incomplete) await repairQueue(location).catch(onError)
      await sleep(reopenAfterMs, undefined, { signal: stopping.signal }).catch(() => undefined)
    }
  }
  const running = keepRunning()
  return {
    stop() {
      stopping.abort()
      deafen?.()
      void worker?.pause(true).catch(onError)
    },
    async close() {
      if (worker) await closeWithin(worker)
      await within(running).catch(onError)
    },
  }
}

/**
 * Whether an entry of the queue has the form of a ticket. Other programs may write to the queue. A ticket counts only
 * if it equals the one in the range's row.
 */
function isTicket(found: object): found is Pick<Ticket, 'id' | 'runId' | 'ordinal'> {
  const { id, runId, ordinal } = found as Partial<Record<keyof Ticket, unknown>>
  const isText = (text: unknown) => typeof text === 'string' && text.length <= 200 && !text.includes('\0')
  return isText(id) && isText(runId) && Number.isInteger(ordinal) && Math.abs(ordinal as number) < 2 ** 31
}

/** Tells single errors from a flood of them. */
class RetryLimiter {
  #count = 0
  #since = performance.now()

  get high(): boolean {
    return this.#count > maxErrorsPerSecond
  }

  /** Counts an error. True for the first one above the limit. */
  rises(): boolean {
    const now = performance.now()
    if (now - this.#since > 1000) {
      this.#since = now
      this.#count = 0
    }
    this.#count += 1
    return this.#count === maxErrorsPerSecond + 1
  }
}
