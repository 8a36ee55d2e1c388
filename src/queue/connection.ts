import type { Queue, QueueOptions, Worker, WorkerOptions } from 'bullmq'
import type pg from 'pg'
import { splitStartupOptions } from '../postgres/connection-string.ts'
import { withTimeout } from '../util/timeout.ts'
import { GuardedClient } from './bullmq-postgres.ts'
import type { QueueLocation } from './location.ts'
import { beginSession, sessionName } from './schema.ts'

/** How a process reaches its queue. */
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

export const queueName = 'tickets'
/** The name of a test ticket. */
export const probeName = 'probe'
const answerWithinMs = 3000

/** The prefix of all keys of this service. */
export function prefixed(instance: string): Pick<QueueOptions & WorkerOptions, 'prefix'> {
  // The braces put all keys into one slot of a Redis Cluster, where a script may use them together.
  return { prefix: `{evenkeel-${instance}}` }
}

/** Options of a connection to Redis. */
export function redis(url: string, options: { maxRetriesPerRequest: number | null }) {
  return { url, ...options, retryStrategy: (attempt: number) => Math.min(attempt * 200, 5000) }
}

/** Options of a connection to the queue's schema on Postgres. */
export function postgres({ url, schema }: { url: string; schema: string }, connections: number) {
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
export async function closeWithin(end: Pick<Queue | Worker, 'close' | 'disconnect'>): Promise<void> {
  try {
    await within(end.close())
  } catch {
    // Nothing is lost with the connection: the rescuer replaces tickets that were in a worker's hand.
    await within(end.disconnect()).catch(() => undefined)
  }
}

/** Bounds the wait for the queue, so that an unresponsive queue does not delay work that does not need it. */
export function within<T>(answer: Promise<T>): Promise<T> {
  return withTimeout(answer, answerWithinMs, 'the queue did not answer')
}
