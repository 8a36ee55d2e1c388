import pg from 'pg'
import { classifyError } from '../core/fault.ts'

/**
 * Age at which a session is closed, so that every session ends up where the address leads. Seconds, give or take a
 * quarter.
 */
const lifetimeSeconds = 60
/** Least time between replacing all sessions of a server that refuses to write. Milliseconds. */
const doubtEveryMs = 2000

interface Session {
  readonly server: string
  readonly beganAt: number
  readonly endsAt: number
}

/**
 * The server that a database's address leads to, which is the one that the newest session has reached. After a failover
 * that closes no sockets, older sessions stay on the old server. None of them may be used next to a session on the new
 * one.
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

  /** When the address last began to lead to another server, if it ever has. Monotonic milliseconds. */
  get since(): number {
    return this.#since
  }

  /** Records the server of a new session. */
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

  /** Calls `listener` each time the address leads to another server. Returns a function that ends this. */
  onMoved(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** Call if the server is read-only: the address may lead to another one by now. All older sessions are replaced. */
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

/** A pool that gives out sessions of one destination only, and closes all others. */
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
