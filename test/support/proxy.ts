import { connect, createServer, type Server, type Socket } from 'node:net'
import { onTestFinished } from 'vitest'
import { type Message, Wire } from './wire.ts'

/** Which way bytes go. */
export type Direction = 'to server' | 'to client'

/**
 * What becomes of a message. `pass`: it goes on. `hold`: it and all behind it wait until the connection is healed.
 * `cut …`: nothing, half, or all of it goes on, and then the connection is gone: whoever sent it sees a reset, whoever
 * was to get it sees the end after what it got. So `cut after` a client's message is done by the server and never answered.
 */
export type Verdict = 'pass' | 'hold' | 'cut before' | 'cut within' | 'cut after'

/** Sees each message of a Postgres session before it goes on. */
export type Watch = (message: Message, connection: Connection) => Verdict

const nothing: Buffer = Buffer.alloc(0)
const both: readonly Direction[] = ['to server', 'to client']

/**
 * A real proxy in front of one server, on a port of its own; closed when the test ends. With a watch it must be a
 * Postgres without TLS; without one it may be anything.
 */
export async function startProxy(serverUrl: string, watch?: Watch): Promise<TcpProxy> {
  const proxy = new TcpProxy(serverUrl, watch)
  await proxy.listen()
  onTestFinished(() => proxy.close())
  return proxy
}

export class TcpProxy {
  readonly connections = new Set<Connection>()
  readonly #watch: Watch | undefined
  readonly #sockets = new Set<Socket>()
  readonly #server: Server
  #url: URL
  #refuses = false
  #silent: readonly Direction[] = []

  constructor(serverUrl: string, watch?: Watch) {
    this.#url = new URL(serverUrl)
    this.#watch = watch
    this.#server = createServer({ allowHalfOpen: true, noDelay: true }, (client) => this.#accept(client))
  }

  /** The server's URL, by way of this proxy. */
  get url(): string {
    return this.through(this.#url.href)
  }

  get port(): number {
    return (this.#server.address() as { port: number }).port
  }

  /** Another URL of the same server, by way of this proxy. */
  through(serverUrl: string): string {
    const url = new URL(serverUrl)
    url.hostname = '127.0.0.1'
    url.port = String(this.port)
    return url.href
  }

  /** Cuts connections, all or those meant, at both ends: by a reset, or as if the other side had hung up. Returns how many. */
  cut(how: 'reset' | 'end' = 'reset', which: (connection: Connection) => boolean = () => true): number {
    const chosen = [...this.connections].filter(which)
    for (const connection of chosen) connection.cut(how)
    return chosen.length
  }

  /** Keeps all connections open, and those that come, and passes nothing on, not even that one side has hung up. */
  blackhole(directions: readonly Direction[] = both): void {
    this.#silent = directions
    for (const connection of this.connections) connection.blackhole(directions)
  }

  /** Resets whoever connects from now on. */
  refuse(): void {
    this.#refuses = true
  }

  /** Lets connections come, and what was held go on. */
  heal(): void {
    this.#refuses = false
    this.#silent = []
    for (const connection of this.connections) connection.heal()
  }

  /** Who connects from now on comes to another server; cut the others, or they stay where they are. */
  pointTo(serverUrl: string): void {
    this.#url = new URL(serverUrl)
  }

  listen(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject)
      this.#server.listen(0, '127.0.0.1', resolve)
    })
  }

  close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    return new Promise((resolve) => this.#server.close(() => resolve()))
  }

  #accept(client: Socket): void {
    this.#keep(client)
    if (this.#refuses) {
      client.resetAndDestroy()
      return
    }
    const server = this.#keep(
      connect({ host: this.#url.hostname, port: Number(this.#url.port), allowHalfOpen: true, noDelay: true }),
    )
    const connection = new Connection(client, server, this.#watch)
    this.connections.add(connection)
    for (const end of [client, server]) end.once('close', () => this.connections.delete(connection))
    if (this.#silent.length > 0) connection.blackhole(this.#silent)
  }

  #keep(socket: Socket): Socket {
    this.#sockets.add(socket)
    // What breaks on one side is passed on by its close.
    socket.on('error', () => undefined)
    socket.once('close', () => this.#sockets.delete(socket))
    return socket
  }
}

/** One client's connection through the proxy. */
export class Connection {
  readonly #wire = new Wire()
  readonly #flows: Readonly<Record<Direction, Flow>>

  constructor(client: Socket, server: Socket, watch: Watch | undefined) {
    const flow = (sender: Message['from'], from: Socket, to: Socket) => {
      const next = (sent: Buffer) => this.#wire.next(sender, sent)
      return new Flow(from, to, watch && { next, judge: (message) => watch(message, this) }, () => this.#part())
    }
    this.#flows = { 'to server': flow('client', client, server), 'to client': flow('server', server, client) }
  }

  /** The session's application_name; null where nobody watches. */
  get application(): string | null {
    return this.#wire.application
  }

  cut(how: 'reset' | 'end' = 'reset'): void {
    this.#part()
    for (const { from } of Object.values(this.#flows)) {
      if (how === 'reset') from.resetAndDestroy()
      else from.end()
    }
  }

  blackhole(directions: readonly Direction[] = both): void {
    for (const direction of directions) this.#flows[direction].hold()
  }

  heal(): void {
    for (const flow of Object.values(this.#flows)) flow.release()
  }

  /** Nothing goes on any more, either way. */
  #part(): void {
    for (const flow of Object.values(this.#flows)) flow.end()
  }
}

interface Watcher {
  next(sent: Buffer): Message | null
  judge(message: Message): Verdict
}

/** What one side sends to the other. */
class Flow {
  readonly from: Socket
  readonly #to: Socket
  readonly #watcher: Watcher | undefined
  readonly #part: () => void
  #waiting = nothing
  /** A message that was judged already. */
  #heldBack = nothing
  #held = false
  #ended = false

  constructor(from: Socket, to: Socket, watcher: Watcher | undefined, part: () => void) {
    this.from = from
    this.#to = to
    this.#watcher = watcher
    this.#part = part
    from.on('data', (chunk) => {
      if (this.#ended) return
      this.#waiting = Buffer.concat([this.#waiting, chunk])
      this.#go()
    })
    from.once('end', () => {
      if (!this.#ended) to.end()
    })
    from.once('close', (broken) => {
      if (this.#ended) return
      if (broken) to.resetAndDestroy()
      else to.destroySoon()
    })
    to.on('drain', () => {
      if (!this.#held) from.resume()
    })
  }

  /** Bytes, and the end of them, wait where they are: paused, a socket does not even tell that it was closed. */
  hold(): void {
    this.#held = true
    this.from.pause()
  }

  release(): void {
    this.#held = false
    this.from.resume()
    const judged = this.#heldBack
    this.#heldBack = nothing
    if (judged.length > 0) this.#to.write(judged)
    this.#go()
  }

  /** From here on whatever still comes is thrown away. */
  end(): void {
    this.#ended = true
    this.from.resume()
  }

  #go(): void {
    while (!this.#held && !this.#ended && this.#waiting.length > 0) {
      const message = this.#watcher?.next(this.#waiting)
      if (message === null) return
      const bytes = message?.bytes ?? this.#waiting
      this.#waiting = this.#waiting.subarray(bytes.length)
      this.#carryOut((message && this.#watcher?.judge(message)) ?? 'pass', bytes)
    }
  }

  #carryOut(verdict: Verdict, bytes: Buffer): void {
    switch (verdict) {
      case 'pass':
        if (!this.#to.write(bytes)) this.from.pause()
        break
      case 'hold':
        this.#heldBack = bytes
        this.hold()
        break
      case 'cut before':
        this.#cut(nothing)
        break
      case 'cut within':
        this.#cut(bytes.subarray(0, Math.ceil(bytes.length / 2)))
        break
      case 'cut after':
        this.#cut(bytes)
        break
    }
  }

  /** The receiver gets these last bytes: a reset would take away from it what it has not read yet. */
  #cut(last: Buffer): void {
    this.#part()
    this.#to.end(last)
    this.from.resetAndDestroy()
  }
}
