import { createPostgresBackend } from 'bullmq'
import pg from 'pg'

/**
 * A client that always has an `error` listener. BullMQ's own clients have none while they connect and while they close.
 * A server that shuts down at such a moment raises an error, and an unhandled one would end the process.
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

  /** Callers learn of the error because their query fails. */
  #hear(): void {
    this.on('error', () => undefined)
  }
}

/**
 * BullMQ's backend on Postgres, with guarded clients: in its pool through the connection's `Client`, and here for
 * LISTEN. The LISTEN client keeps the name of evenkeel's sessions. Under BullMQ's name it would count as foreground.
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
