import type { Server } from 'node:http'
import type { Socket } from 'node:net'

/** The process needs its file descriptors for the databases and the jobs. */
const maxConnections = 500

interface Use {
  /** A request on this connection was authenticated: by its token, or from this machine when there are no tokens. */
  readonly trusted: boolean
  /** Requests that have arrived and are not answered yet. */
  readonly pending: number
}

/**
 * Bounds the number of connections without locking callers out. At the limit, a new connection closes the one that has
 * gone longest without a request; unauthenticated connections go first.
 */
export class Connections {
  /** Ordered by last use, least recently used first. */
  readonly #uses = new Map<Socket, Use>()

  constructor(server: Server) {
    server.on('connection', (socket) => {
      this.#uses.set(socket, { trusted: false, pending: 0 })
      socket.once('close', () => this.#uses.delete(socket))
      if (this.#uses.size > maxConnections) this.#minUseful(socket).destroy()
    })
    server.on('request', ({ socket }, response) => {
      this.#change(socket, ({ trusted, pending }) => ({ trusted, pending: pending + 1 }))
      response.once('close', () => this.#change(socket, ({ trusted, pending }) => ({ trusted, pending: pending - 1 })))
    })
  }

  trust(socket: Socket): void {
    this.#change(socket, ({ pending }) => ({ trusted: true, pending }))
  }

  #change(socket: Socket, to: (use: Use) => Use): void {
    const use = this.#uses.get(socket)
    if (!use) return
    this.#uses.delete(socket)
    this.#uses.set(socket, to(use))
  }

  /** The connection to close: the new one if all others have requests in flight from authenticated callers. */
  #minUseful(newcomer: Socket): Socket {
    const ranks = [
      ({ trusted, pending }: Use) => !trusted && pending === 0,
      ({ trusted }: Use) => !trusted,
      ({ pending }: Use) => pending === 0,
    ]
    for (const rank of ranks) {
      for (const [socket, use] of this.#uses) if (socket !== newcomer && rank(use)) return socket
    }
    return newcomer
  }
}
