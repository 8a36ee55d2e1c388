import { createPostgresBackend } from 'bullmq'
import pg from 'pg'

/**
 * A client that always has somebody who hears of its errors. BullMQ leaves its own without while they begin and while they
 * end; a server that is shut down in such a moment says so, and what nobody hears would end the process.
 */
export class GuardedClient extends pg.Client {
  constructor(config?: string | pg.ClientConfig) {
    super(config)
    this.#hear()
  }

  override removeAllListeners(event?: string | symbol): this {
    super.removeAllListeners(event)
    this.#hear()
    return this
  }

  /** Whoever waits for an answer is told by its failing. */
  #hear(): void {
    this.on('error', () => undefined)
  }
}

/**
 * BullMQ's backend on Postgres, on clients that are heard: in its pool by `Client` of the connection, and for LISTEN here. That
 * one keeps the name of evenkeel's sessions: by BullMQ's name for it, it would count as one of others.
 */
export const guardedPostgresBackend: typeof createPostgresBackend = (name, options, more) => {
  const backend = createPostgresBackend(name, options, more)
  const { connection } = backend as unknown as {
    connection: {
      pgModule: Pick<typeof pg, 'Client'>
      getListenClient(): Promise<pg.Client>
      setListenClientName(name: string): Promise<void>
    }
  }
  connection.pgModule = { Client: GuardedClient }
  connection.setListenClientName = async () => {
    await connection.getListenClient()
  }
  return backend
}
