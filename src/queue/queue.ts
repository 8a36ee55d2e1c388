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

/** What the queue carries: which range of which run wants work. Everything else stands in Postgres. */
export interface Ticket {
  readonly id: string
  readonly runId: string
  readonly ordinal: number
  readonly delaySeconds: number
  /** Its range says that the queue has refused a ticket of before. */
  readonly refused?: boolean
}

export interface TicketQueue {
  /**
   * Puts tickets out. One that is lost on the way, or later, is replaced by the rescuer. Throws TicketsRefused where the
   * queue does not take them.
   */
  put(tickets: readonly Ticket[]): Promise<void>
  /** Where a ticket is: to be handed out, to be so later, or in a worker's hand; null when the queue does not know it. */
  whereabouts(ticketId: string): Promise<'queued' | 'delayed' | 'in-hand' | null>
  /** Puts a ticket that means nothing, and takes it back. Throws TicketsRefused where that cannot be done. */
  probe(): Promise<void>
  /** Tickets by state. */
  depth(): Promise<Record<'waiting' | 'delayed' | 'active', number>>
  close(): Promise<void>
}

export interface TicketConsumer {
  /** Takes no more tickets. */
  stop(): void
  /** Gives up the connection, in bounded time; to be called when nothing is being worked on any more. */
  close(): Promise<void>
}

export interface TicketQueueOptions {
  readonly location: QueueLocation
  /** Tells this service's tickets from those of another that shares the Redis: the control schema's own identity. */
  readonly instance: string
  onError(error: Error): void
  /** Calls a listener when the address of Postgres leads to another server: sessions on the old one are given up. */
  onMoved?(listener: () => void): () => void
}

const queueName = 'tickets'
const probeName = 'probe'
/** A probe is taken back at once; one whose process died in between falls due, and is dropped. */
const probeDelayMs = 60_000
const answerWithinMs = 3000
const reopenAfterMs = 1000
const maxErrorsPerSecond = 20
/** What BullMQ tells of each ticket is read by nobody. It keeps ten thousand, and none is not to be had. */
const eventsKept = 100

/**
 * The producing side. Connects in the background; a queue that cannot be reached makes a call fail, in bounded time, and the
 * next one try anew: BullMQ remembers for ever that a first connection to Postgres failed, so such a queue is replaced.
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
  /** What the connection said last: a call that it fails knows only that it has waited. */
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
        // Nothing is kept of a ticket that has been used: the queue's memory does not grow with the run.
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

/** The consuming side: up to `slots` tickets at once are given to `work`, which must not throw. */
export function consumeTickets(
  { location, instance, onError, onMoved }: TicketQueueOptions,
  slots: number,
  work: (ticket: Pick<Ticket, 'id' | 'runId' | 'ordinal'>) => Promise<void>,
): TicketConsumer {
  const options = {
    ...prefixed(instance),
    concurrency: slots,
    autorun: false,
    // A ticket whose worker died is handed out again by BullMQ too; its lease tells that it is an old one.
    maxStalledCount: 1_000_000,
  }
  const process = async (job: { name: string; id?: string | undefined; data: unknown }) => {
    if (job.name === probeName) return
    const ticket = { id: job.id, ...(job.data as object | null) }
    if (isTicket(ticket)) await work({ id: ticket.id, runId: ticket.runId, ordinal: ticket.ordinal })
    else onError(new Error('something that is no ticket was in the queue; it is dropped'))
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

  /** Runs one worker after another: each until it fails so fast that it would do nothing else, the last until the stop. */
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
        // Some errors make BullMQ ask again without a pause, and no timer of the process ever fires.
        if (flood.rises()) void current.close(true)
        if (!flood.high) onError(error)
      })
      try {
        await current.waitUntilReady()
        // What is missing of the queue keeps it from ever coming to its end.
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

/** What is in the queue may be anybody's. What looks like a ticket is compared with the range's own before it counts. */
function isTicket(found: object): found is Pick<Ticket, 'id' | 'runId' | 'ordinal'> {
  const { id, runId, ordinal } = found as Partial<Record<keyof Ticket, unknown>>
  const isText = (text: unknown) => typeof text === 'string' && text.length <= 200 && !text.includes('\0')
  return isText(id) && isText(runId) && Number.isInteger(ordinal) && Math.abs(ordinal as number) < 2 ** 31
}

/** Tells errors that come one by one from errors that come without end. */
class RetryLimiter {
  #count = 0
  #since = performance.now()

  get high(): boolean {
    return this.#count > maxErrorsPerSecond
  }

  /** Counts one more; true when it is the one too many. */
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
  // In braces: all keys are in one slot of a Redis Cluster, where a script may touch them together.
  return { prefix: `{evenkeel-${instance}}` }
}

function redis(url: string, options: { maxRetriesPerRequest: number | null }) {
  return { url, ...options, retryStrategy: (attempt: number) => Math.min(attempt * 200, 5000) }
}

function postgres({ url, schema }: { url: string; schema: string }, connections: number) {
  // BullMQ sends its search_path along as startup options, which poolers refuse or drop. Those in the URL, even if
  // there are none, replace them; its queries all go over the pool, its notifications need no search_path.
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
    // So that they are where the address leads, in the end.
    maxLifetimeSeconds: 60,
  }
}

/** Closing waits for the connection, and without a time limit: a queue that is down would keep us from ever exiting. */
async function closeWithin(end: Pick<Queue | Worker, 'close' | 'disconnect'>): Promise<void> {
  try {
    await within(end.close())
  } catch {
    // Nothing of ours is lost with the connection: tickets that were in hand are replaced by the rescuer.
    await within(end.disconnect()).catch(() => undefined)
  }
}

/** A queue that does not answer must not hold up what does not need it. */
function within<T>(answer: Promise<T>): Promise<T> {
  return withTimeout(answer, answerWithinMs, 'the queue did not answer')
}
