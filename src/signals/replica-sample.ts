import type { Reading, SignalName } from '../core/throttle/signal.ts'
import type { Ask } from '../postgres/ask.ts'
import { unknown } from './messages.ts'
import { replicaBytes } from './replica-bytes.ts'
import { replicaLag } from './replica-lag.ts'
import { replicasMissing } from './replicas-missing.ts'
import { countedBy, countNames, type ReplicaPolicy, readReplication, type Standby } from './replication.ts'
import { Standbys } from './standbys.ts'

export const replicaSignals = ['replica-lag', 'replica-bytes', 'replicas-missing'] as const satisfies SignalName[]

/** Standbys seen so far, remembered for all processes. */
export interface KnownStandbys {
  list(): Promise<ReadonlyMap<string, number>>
  remember(seen: ReadonlyMap<string, number>): Promise<void>
}

/** All signals of the replicas, read with one statement. */
export class ReplicaSample {
  readonly #ask: Ask
  readonly #policy: ReplicaPolicy
  readonly #store: KnownStandbys
  readonly #onError: (error: unknown) => void
  readonly #standbys = new Standbys()
  /** How many standbys of each name have been seen; null until first read. */
  #known: ReadonlyMap<string, number> | null = null

  constructor(ask: Ask, policy: ReplicaPolicy, store: KnownStandbys, onError: (error: unknown) => void) {
    this.#ask = ask
    this.#policy = policy
    this.#store = store
    this.#onError = onError
  }

  /** Reads which standbys other processes have seen or forgotten. Until it answers, the last list counts. */
  async learn(): Promise<void> {
    if (this.#policy.kind === 'auto') this.#known = await this.#store.list()
  }

  async read(): Promise<Reading[]> {
    // A standby that died before this process began would be overlooked in the first sample otherwise.
    if (this.#known === null) await this.learn()
    const asked = performance.now()
    const replication = await readReplication(this.#ask)
    // The statement read the position somewhere between the two times.
    const at = (asked + performance.now()) / 2
    if (replication.unknown !== null) {
      const cause = replication.unknown
      return replicaSignals.map((signal) => unknown(signal, cause))
    }
    const counted = countedBy(this.#policy, replication.standbys)
    if (this.#policy.kind === 'auto') this.#remember(counted)
    this.#standbys.observe(at, replication.position, counted, this.#expected())
    if (!this.#standbys.any) return []
    return [replicaLag(this.#standbys), replicaBytes(this.#standbys), replicasMissing(this.#standbys)]
  }

  #expected(): ReadonlyMap<string, number> {
    return this.#policy.kind === 'named' ? countNames(this.#policy.names) : (this.#known ?? new Map())
  }

  /** Writes without waiting. If the write fails, the name is missing from the next list and is written again. */
  #remember(standbys: readonly Standby[]): void {
    const known = this.#known ?? new Map<string, number>()
    const seen = countNames(standbys.map(({ name }) => name))
    const fresh = [...seen].filter(([name, number]) => number > (known.get(name) ?? 0))
    if (fresh.length === 0) return
    this.#known = new Map([...known, ...fresh])
    this.#store.remember(new Map(fresh)).catch(this.#onError)
  }
}
