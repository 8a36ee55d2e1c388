import pg from 'pg'
import { classifyError } from '../core/fault.ts'

/** No session is given out that began longer ago: in the end each one is where the address leads. Seconds, give or take a quarter. */
const lifetimeSeconds = 60
/** While a server refuses to write, its sessions are replaced so often at most. Milliseconds. */
const doubtEveryMs = 2000

interface Session {
  readonly server: string
  readonly beganAt: number
  readonly endsAt: number
}

/**
 * Which server the address of a database leads to: the one that the newest session has reached. After a failover that closes no
 * sockets, sessions of before stay on the server of before; none of them may be used beside one that has reached another.
 */
export class Destination {
  readonly #lifetimeMs: number
  readonly #sessions = new WeakMap<object, Session>()
  #server: string | null = null
  #since = Number.NEGATIVE_INFINITY
  #doubtedAt = Number.NEGATIVE_INFINITY
  readonly #listeners = new Set<() => void>()

  constructor(lifetime = lifetimeSeconds) {
    this.#lifetimeMs = lifetime * 1000
  }

  /** Since when the address has led to another server than before, if it ever has. Monotonic milliseconds. */
  get since(): number {
    return this.#since
  }

  /** A session has begun on this server. */
  reached(session: object, server: string): void {
    const now = performance.now()
    const lifetime = this.#lifetimeMs * (0.75 + Math.random() / 2)
    this.#sessions.set(session, { server, beganAt: now, endsAt: now + lifetime })
    const before = this.#server
    this.#server = server
    if (before === null || before === server) return
    this.#since = now
    for (const listener of this.#listeners) listener()
  }

  /** Calls a listener each time the address leads to another server; returns how to end that. */
  onMoved(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** The server does not write: the address may lead to another one by now. Every session of before is replaced. */
  doubt(): void {
    const now = performance.now()
    if (now - this.#doubtedAt > doubtEveryMs) this.#doubtedAt = now
  }

  /** Whether a session may still be given out. */
  isCurrent(session: object): boolean {
    const known = this.#sessions.get(session)
    if (!known) return false
    const { server, beganAt, endsAt } = known
    return server === this.#server && beganAt > this.#doubtedAt && performance.now() < endsAt
  }
}

type GiveOut = (error: Error | undefined, client: pg.PoolClient | undefined, release: pg.PoolClient['release']) => void

/** A pool that gives out sessions of one destination only: what is not current is closed instead. */
export class DestinationPool extends pg.Pool {
  readonly destination: Destination

  constructor(config: pg.PoolConfig, destination: Destination) {
    super(config)
    this.destination = destination
    this.on('release', (error) => {
      if (error instanceof pg.DatabaseError && classifyError(error) === 'read-only') destination.doubt()
    })
  }

  override connect(): Promise<pg.PoolClient>
  override connect(giveOut: GiveOut): void
  override connect(giveOut?: GiveOut): Promise<pg.PoolClient> | undefined {
    const found = this.#current()
    if (!giveOut) return found
    found.then(
      (client) => giveOut(undefined, client, client.release),
      (error: Error) => giveOut(error, undefined, () => undefined),
    )
    return undefined
  }

  async #current(): Promise<pg.PoolClient> {
    for (;;) {
      const client = await super.connect()
      if (this.destination.isCurrent(client)) return client
      client.release(true)
    }
  }
}
