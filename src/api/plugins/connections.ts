import type { Server } from 'node:http'
import type { Socket } from 'node:net'

/** The process needs its files for the databases and the jobs. */
const maxConnections = 500

interface Use {
  /** A request on this connection was allowed in: by its token, or from this machine where there are no tokens. */
  readonly trusted: boolean
  /** Requests that have arrived and have no answer yet. */
  readonly pending: number
}

/**
 * Keeps the number of connections bounded without shutting callers out: one more than there may be closes the connection
 * that has gone longest without a request, those of strangers first.
 */
export class Connections {
  /** Ordered by use: the one that was used longest ago comes first. */
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

  /** The newcomer itself where all others are at work for callers who were let in. */
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
