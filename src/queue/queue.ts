import { randomBytes } from 'node:crypto'
import { Queue } from 'bullmq'
import { Acceptance, isAnswer } from './acceptance.ts'
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

export interface TicketQueue {
  /**
   * Puts tickets on the queue. The rescuer replaces tickets that are lost, now or later. Throws TicketsRefused if the
   * queue does not accept them.
   */
  put(tickets: readonly Ticket[]): Promise<void>
  /** Where a ticket is: ready, delayed, or in a worker's hand. Null if the queue does not know it. */
  whereabouts(ticketId: string): Promise<'queued' | 'delayed' | 'in-hand' | null>
  /** Puts a test ticket on the queue and removes it again. Throws TicketsRefused if that fails. */
  probe(): Promise<void>
  /** Number of tickets by state. */
  depth(): Promise<Record<'waiting' | 'delayed' | 'active', number>>
  close(): Promise<void>
}

/** A test ticket is removed at once. If its process dies in between, the ticket falls due and is dropped. */
const probeDelayMs = 60_000
/**
 * How many of BullMQ's events are kept. Nothing reads them. BullMQ's default is ten thousand, and keeping none is not
 * possible.
 */
const eventsKept = 100

/**
 * The producing side. Connects in the background. If the queue cannot be reached, a call fails in bounded time, and the
 * next call tries again. BullMQ remembers a failed first connection to Postgres for ever, so such a queue object is
 * replaced.
 */
export function openQueue({ location, instance, onError, onMoved }: TicketQueueOptions): TicketQueue {
  const options = { ...prefixed(instance), streams: { events: { maxLen: eventsKept } } }
  const create = (): Queue => {
    const created =
      location.kind === 'redis'
        ? new Queue(queueName, { ...options, connection: redis(location.url, { maxRetriesPerRequest: 1 }) })
        : new Queue(queueName, { ...options, connection: postgres(location, 2) }, guardedPostgresBackend)
    created.on('error', (error) => {
      lastError = error
      onError(error)
    })
    return created as Queue
  }
  /** The last error of the connection. The error of a failed call says only that it timed out. */
  let lastError: Error | null = null
  let queue = create()
  const acceptance = new Acceptance(onError)
  const offer = (question: (queue: Queue) => Promise<unknown>) =>
    acceptance.offer(async () => {
      lastError = null
      try {
        await ask(question)
      } catch (error) {
        throw isAnswer(error) ? error : (lastError ?? error)
      }
    })
  const replace = (asked: Queue) => {
    if (asked !== queue) return
    queue = create()
    void closeWithin(asked)
  }
  const ask = async <T>(question: (queue: Queue) => Promise<T>): Promise<T> => {
    const asked = queue
    try {
      await within(asked.waitUntilReady())
    } catch (error) {
      if (location.kind === 'postgres') replace(asked)
      if (!isIncomplete(error)) throw error
      await repairQueue(location)
      return within(question(queue))
    }
    try {
      return await within(question(asked))
    } catch (error) {
      if (!isIncomplete(error)) throw error
      await repairQueue(location)
      replace(asked)
      return within(question(queue))
    }
  }
  const deafen = location.kind === 'postgres' ? onMoved?.(() => replace(queue)) : undefined
  return {
    async put(tickets) {
      const jobs = tickets.map(({ id, runId, ordinal, delaySeconds }) => ({
        name: 'slice',
        data: { runId, ordinal },
        // Used tickets are removed, so the queue's memory does not grow with the run.
        opts: { jobId: id, delay: Math.round(delaySeconds * 1000), removeOnComplete: true, removeOnFail: true },
      }))
      if (jobs.length > 0) await offer((asked) => asked.addBulk(jobs))
    },
    async probe() {
      if (acceptance.isFresh) return
      const opts = { jobId: `probe.${randomBytes(6).toString('hex')}`, delay: probeDelayMs, removeOnComplete: true }
      await offer(async (asked) => (await asked.add(probeName, {}, opts)).remove())
    },
    async whereabouts(ticketId) {
      const job = await ask((asked) => asked.getJob(ticketId))
      const state = job === undefined ? 'unknown' : await within(job.getState())
      if (state === 'unknown') return null
      if (state === 'active') return 'in-hand'
      return state === 'delayed' ? 'delayed' : 'queued'
    },
    async depth() {
      const counts = await ask((asked) => asked.getJobCounts('waiting', 'delayed', 'active'))
      return { waiting: counts.waiting ?? 0, delayed: counts.delayed ?? 0, active: counts.active ?? 0 }
    },
    async close() {
      deafen?.()
      await closeWithin(queue)
    },
  }
}
