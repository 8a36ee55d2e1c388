import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { Queue, type QueueOptions, Worker, type WorkerOptions } from 'bullmq'
import type pg from 'pg'
import { splitStartupOptions } from '../postgres/connection-string.ts'
import { withTimeout } from '../util/timeout.ts'
import { Acceptance, isAnswer } from './acceptance.ts'
import { GuardedClient, guardedPostgresBackend } from './bullmq-postgres.ts'
import type { QueueLocation } from './location.ts'
import { beginSession, isIncomplete, repairQueue, sessionName } from './schema.ts'

/** A message of the queue: which range of which run needs a worker. All other state is in Postgres. */
export interface Ticket {
  readonly id: string
  readonly runId: string
  readonly ordinal: number
  readonly delaySeconds: number
  /** The range records that the queue refused its previous ticket. */
  readonly refused?: boolean
}

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

export interface TicketConsumer {
  /** Takes no more tickets. */
  stop(): void
  /** Closes the connection, in bounded time. Call it when no ticket is being worked on. */
  close(): Promise<void>
}

export interface TicketQueueOptions {
  readonly location: QueueLocation
  /**
   * The identity of the control schema. It tells this service's tickets from those of another service on the same
   * Redis.
   */
  readonly instance: string
  onError(error: Error): void
  /** Calls a listener when the address of Postgres leads to another server: sessions on the old one are dropped. */
  onMoved?(listener: () => void): () => void
}

const queueName = 'tickets'
const probeName = 'probe'
/** A test ticket is removed at once. If its process dies in between, the ticket falls due and is dropped. */
const probeDelayMs = 60_000
const answerWithinMs = 3000
const reopenAfterMs = 1000
const maxErrorsPerSecond = 20
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

function prefixed(instance: string): Pick<QueueOptions & WorkerOptions, 'prefix'> {
  // The braces put all keys into one slot of a Redis Cluster, where a script may use them together.
  return { prefix: `{evenkeel-${instance}}` }
}

function redis(url: string, options: { maxRetriesPerRequest: number | null }) {
  return { url, ...options, retryStrategy: (attempt: number) => Math.min(attempt * 200, 5000) }
}

function postgres({ url, schema }: { url: string; schema: string }, connections: number) {
  // BullMQ sends its search_path as startup options, which poolers refuse or drop. The options in the URL, even if
  // empty, replace them. All its queries use the pool, and its notifications need no search_path.
  const split = splitStartupOptions(url)
  const connectionString = new URL(split.url)
  connectionString.searchParams.set('options', split.startupOptions)
  return {
    connectionString: connectionString.href,
    Client: GuardedClient,
    onConnect: (client: pg.ClientBase) => beginSession(client, schema),
    schema,
    max: connections,
    application_name: sessionName,
    keepAlive: true,
    // Makes connections follow the address when it leads to another server.
    maxLifetimeSeconds: 60,
  }
}

/**
 * Closes a queue or a worker. BullMQ waits for the connection without a time limit, so a queue that is down would keep
 * the process from exiting.
 */
async function closeWithin(end: Pick<Queue | Worker, 'close' | 'disconnect'>): Promise<void> {
  try {
    await within(end.close())
  } catch {
    // Nothing is lost with the connection: the rescuer replaces tickets that were in a worker's hand.
    await within(end.disconnect()).catch(() => undefined)
  }
}

/** Bounds the wait for the queue, so that an unresponsive queue does not delay work that does not need it. */
function within<T>(answer: Promise<T>): Promise<T> {
  return withTimeout(answer, answerWithinMs, 'the queue did not answer')
}
